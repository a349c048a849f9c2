"""A model, live or recorded, in the place of an examinee: asked in the words that the daemon uses."""

from dataclasses import replace

from bot.config import AnalystSettings, DivergenceSettings, ValidationSettings
from bot.interfaces import Clock
from bot.layer2_intelligence.analyst.claim_check import Snapshot
from bot.layer2_intelligence.analyst.evaluation.marks import Question
from bot.layer2_intelligence.analyst.ladder import Ladder
from bot.layer2_intelligence.analyst.nouns import AnalystGateway, Opinion
from bot.models import StrategyTask


class ModelExaminee:
    """One model without anybody who stands in for it."""

    def __init__(
        self,
        gateway: AnalystGateway,
        model: str,
        *,
        settings: AnalystSettings,
        divergence: DivergenceSettings,
        validation: ValidationSettings,
        clock: Clock,
    ) -> None:
        alone = settings.model_copy(update={"analyst_model": model, "analyst_fallback_model": ""})
        self.name = model
        self._ladder = Ladder(gateway, alone, clock)
        self._divergence = divergence
        self._validation = validation

    async def opinion(self, question: Question) -> Opinion:
        """Its reading, held against the candles; the class of a void claim comes first in `untrue`."""
        shot = Snapshot(
            task=StrategyTask.of("divergence", question.instrument, question.features.series.timeframe),
            features=question.features,
            instrument=question.instrument,
            divergence=self._divergence,
            validation=self._validation,
        )
        consulted = await self._ladder.consult(shot)
        opinion, checked = replace(consulted.opinion, by=self.name), consulted.checked
        if checked is None or checked.fault is None:
            return replace(opinion, untrue=())
        return replace(opinion, untrue=(checked.fault.value, *checked.untrue))
