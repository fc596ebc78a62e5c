"""`eventrouter` for tests that kill it: a rate budget that their pace does not use up, look-ups that follow each other sooner."""

from functools import partial
from unittest.mock import patch

from eventrouter.cli import main
from eventrouter.connectors.projectx.budget import Budget
from tests.live.pace import BUDGET, LOOK_AGAIN, LOOK_AGAIN_S, MOST_REQUESTS

if __name__ == "__main__":
    with patch(LOOK_AGAIN, LOOK_AGAIN_S), patch(BUDGET, partial(Budget, most=MOST_REQUESTS)):
        main()
