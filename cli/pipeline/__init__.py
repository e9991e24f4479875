"""From a mesh to enhanced images in one go: scene → render → train → evaluate → apply → report.

Read ``settings.py`` for what is asked for, ``context.py`` for where things lie, ``steps.py`` for what is done,
``runner.py`` for which steps are due, ``records.py`` for what is remembered of them; ``report/`` draws what came out.
"""

STEP_NAMES = ("scene", "render", "train", "evaluate", "apply", "report")
"""What the user calls the steps, in the order in which they are done."""
ENHANCED = "enhanced"
"""Name of the array of enhanced images in the store, and of the folder with some of them."""
