"""`make torture`: deployments that are cut off at any moment, and what is true afterwards.

A round is a deed (`deeds.py`: the first `up`, an update, a rotation, a release, a restore, a destroy) and a
victim (`victims.py`: engine, plugin, agent, ssh, dockerd, the host; a full disk, a read-only one; a line that
delays, loses or cuts). Both, and the moment, are drawn from the seed and the number of the round
(`draw.py`): a round can be repeated by itself, and a run goes on at any number (SEED=, KILLS=, FROM=).

All rounds share one host and one stack: a fault that shows only after the next kill is found as well. The
host is reached through a relay. The deed starts, the victim is struck some seconds later, the deed ends as
it may. Then people do what docs/after-a-failed-deployment.md says: `pulumi cancel` where an engine was
killed, and `up`. It has to succeed, and the preview after it has to be empty.

All the while a writer on the host sets keys in Redis and notes each answer, and a visitor asks nginx for a
static page (`witness.py`). No noted key may be lost, and whatever nginx answers is that page. `nginx -t`
passes right after the kill. In the end the host holds nothing that the first `up` did not leave
(`leftovers.py`).

What each round found goes to a file as it ends (`record.py`); the summary counts all rounds of the seed.
"""
