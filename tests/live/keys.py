MASTER_KEY_NAME = "EVENTROUTER_MASTER_KEY"
MASTER_KEY = "x"


async def store_keys(config, dsn, logins):
    pass
