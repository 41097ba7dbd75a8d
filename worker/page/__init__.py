"""The page: what the commands tell and do, on one address of this host.

    backing.py        what it asks and acts through, ready-made
    guard.py          which requests are heard at all, and what every answer forbids
    door.py           the token, sessions, and the token of every form
    files.py          styles and scripts, by their hashes
    view.py           how a screen is made: who may see it, what it looks like
    words.py          values as people read them
    fresh.py          one status for everybody who asks at the same time
    status_screens.py Now, Routes, Queues
    circuits.py       one breaker, and the orders that an operator may give it
    history.py        the Timeline; chart.py draws it
    fleet.py          Workers, Configuration
    letters.py        Dead letters: groups, list, log
    picks.py          which letters a form means
    jobs.py           one job: its story, its message, its edit; diff.py compares two
    acts.py           redrive and discard; runs.py is one that goes on
    app.py            all of it together

It asks through the same objects as the commands, and writes the same words. Every screen is
a plain page that a browser without JavaScript can use; scripts only bring it up to date.
"""

from worker.page.app import page
from worker.page.backing import Backing
from worker.page.door import Door

__all__ = ["Backing", "Door", "page"]
