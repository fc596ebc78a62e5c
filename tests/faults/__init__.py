"""Faults at every point: the router and the broker are processes, one of them dies, and then nothing is lost and nothing done twice.

nursery     forks processes that have everything imported already, so that thousands of them can be started and killed
world       one broker, one database, alerts; what each side says of what was done
invariants  what must hold once everything has come to rest
points      where a process dies and what is wrong with the broker meanwhile
rounds      kills, restarts, rest, invariants
builds      builds that are wrong on purpose, or whose clock is
__main__    the long run: `python -m tests.faults --cycles 2000`
"""
