"""`botctl analyst ...`: what the model costs, which there are, what they are worth. Each is imported when called."""

from typing import Final

from cyclopts import App

analyst: Final = App(name="analyst")
analyst.command("bot.commands.analyst_cost:cost", name="cost", help="Show what asking the model has cost.")
analyst.command(
    "bot.commands.analyst_models:models", name="models", help="Show the models: set, reachable, until when."
)
analyst.command(
    "bot.commands.analyst_replay:replay_answers", name="replay", help="Decide recorded answers anew, by other rules."
)
analyst.command(
    "bot.commands.analyst_evaluate:evaluate",
    name="evaluate",
    help="Examine models: what is true, and what it is worth.",
)
analyst.command("bot.commands.analyst_recordings:export", name="export", help="Write recorded answers as files.")
analyst.command(
    "bot.commands.analyst_recordings:import_recordings", name="import", help="Store recorded answers from files."
)
