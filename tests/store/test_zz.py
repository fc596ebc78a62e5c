import asyncio
from eventrouter.ingest import *
from eventrouter.metrics import Metrics
from eventrouter.store.connect import *
from tests.store.test_ingest import *
from tests.store.stored_task import *
async def test_b(pool, conn):
    ing = SignalIngest(pool, lambda s, e: (Intent("a", None),), metrics=Metrics()); 
    good=[Alert.now(b'{"kind":"ENTRY","trade_id":"g%d","direction":"LONG"}'%n,"orb") for n in range(5)]
    bad=Alert.now(b'{"kind":"ENTRY","trade_id":"bad","direction":"LONG"}',"orb",content_type="text/plain; x=\udce9")
    bad2=Alert.now(b'{"kind":"ENTRY","trade_id":"bad2","direction":"LONG"}',"orb",headers={"User-Agent":"caf\udce9"})
    fs=[asyncio.ensure_future(ing.accept(a)) for a in [*good,bad]]
    await asyncio.sleep(0); ing.start()
    print([repr(x)[:90] for x in await asyncio.gather(*fs,return_exceptions=True)])
    print([repr(x)[:160] for x in await asyncio.gather(ing.accept(bad2),return_exceptions=True)])
    print("stored", await value(conn,"select count(*) from automated_signals"))
    await ing.stop()
async def test_j(pool, conn, any_dsn):
    async with await Database(any_dsn).connect("o") as other:
        await listen(other, CHANNEL)
        await store_alerts(conn,[refused()])
        await notify(conn,payload="end")
        async for n in other.notifies():
            print("heard",repr(n.payload))
            if n.payload: break
