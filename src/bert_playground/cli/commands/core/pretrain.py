"""bert pretrain: pretrain the encoder by masked language modelling on unlabeled rows."""

import typer

from bert_playground.cli.utils import options
from bert_playground.cli.utils.console import print_json
from bert_playground.cli.utils.report import print_pretraining_report
from bert_playground.cli.utils.show_config import print_config


@options.takes_settings(
    "--train --test --target --unlabeled --id-column --template --max-length --use-pretokenized --num-workers "
    "--prefetch-size --model --mask-probability --epochs --max-steps --batch-size --lr --grad-accum --skip-nonfinite --precision "
    "--seed --no-compile --output-dir --logging-steps --mlflow --experiment"
)
def pretrain(
    context: typer.Context,
    resume: options.Resume = None,
    show_config: options.ShowConfig = False,
    log_level: options.LogLevel = None,
    json: options.Json = False,
) -> None:
    """Pretrain the encoder by masked language modelling on unlabeled rows; `bert train --model` takes the result."""
    from bert_playground.logs import set_up_logs

    set_up_logs(log_level)
    asked, sources = options.read_config(context)
    if show_config:
        print_config(asked, sources, as_json=json, is_pretraining=True)
        return
    from bert_playground.training.pretraining import run_pretraining

    result = run_pretraining(asked, sources, resume=resume)
    if not result.summary:
        return  # a rank that writes nothing
    if json:
        print_json(result.summary)
    else:
        print_pretraining_report(result.summary)
