"""`make torture` interrupts deployments at random moments, and checks that the host survives this.

A round has a deed and a victim. A deed is the first `up`, an update, a rotation, a release, a restore or a
destroy (`deeds.py`). The victims are processes, the host, disks and connections (`victims.py`). Processes and
the host are killed, disks become full or read-only, and connections become slow or break. The seed and the
number of a round choose its deed, its victim and the moment (`draw.py`). So each round can run again alone,
and a run can begin at any number (SEED=, KILLS=, FROM=).

All rounds share one host and one stack, so they also find a fault that shows only after a later kill. The
host is reached through a relay. The deed starts. Some seconds later, the test kills or breaks the victim.
Then the deed ends, with or without an error. After that the test follows
docs/after-a-failed-deployment.md: it runs `pulumi cancel` if the engine was killed, and `up`. The `up`
has to succeed, and the next preview has to find no difference.

During all rounds a writer on the host sets keys in Redis and records each acknowledged key (`witness.py`). A
visitor requests a static page from nginx. No acknowledged key may be lost, and every answer of nginx has to
be the static page. Directly after the kill `nginx -t` has to pass. At the end of a round the host may have
only what the first `up` left (`leftovers.py`).

The result of each round goes into a file (`record.py`). The summary counts all rounds of the seed.
"""
