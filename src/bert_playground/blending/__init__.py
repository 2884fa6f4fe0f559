"""Several models' answers for the same rows become one, judged out of fold."""

from bert_playground.blending.combiner import Combiner as Combiner
from bert_playground.blending.decision import Decision as Decision
from bert_playground.blending.fit import Blend as Blend
from bert_playground.blending.fit import fit_blend as fit_blend
from bert_playground.blending.objective import Objective as Objective
from bert_playground.blending.stack import Stack as Stack
