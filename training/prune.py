"""Makes most weights of a BERT zero, in blocks or as whole heads and neurons, while it learns from its dense self.

    python -m training.prune --model DIR --train train-v1.1.json --dev dev-v1.1.json --sparsity 0.8 --output DIR

The share of zeros grows fast at first and slowly at the end, over --ramp of the steps; the rest of them repairs what it
cost. `--ramp 0` makes all zeros before the first step and refits what is left of each product to its dense self.
The zeros stay in place, so the result runs wherever the dense model does. `--pattern structured` takes whole heads and
inner neurons, which --backend pytorch leaves out. The teacher is the model itself, or --teacher. `--qat 0.2` trains the
last fifth in int8's arithmetic. The same command with --run-dir goes on from a run's last checkpoint, to the weights of
an uninterrupted one.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation import program
from foundation.help_formatter import HelpFormatter
from foundation.steps import doing
from sut.errors import UsageError
from training.loop import checkpoint_record
from training.tasks import squad_inputs, targets
from training.tasks.recipe_flags import command, loading, run_dir
from training.tasks.sparsity import PATTERNS, SCOPES, Sparsity

_WINDOWS = 64  # to which --ramp 0 fits


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return command(_train, _options(argv))


def _train(options: argparse.Namespace) -> int:
    targets.require_sound(options)
    _require_sound(options)
    from_model = options.teacher or options.model
    config, vocab = squad_inputs.opened(options, options.model)
    taught_by = squad_inputs.geometry(str(from_model))
    sparsity = Sparsity(share=options.sparsity, pattern=options.pattern, scope=options.scope)
    sparsity.require_fit(config)
    with loading(options.threads):
        from training.tasks import distillation_setup, one_shot, pruning, squad_setup
        from training.tasks.distillation import Distillation, Teacher
        from training.tasks.recipes import taking_part, train_model

    with taking_part(options) as here:
        teacher = squad_setup.network(taught_by, 0.0, options.seed, from_model).to(here.device)
        network = squad_setup.network(config, options.dropout, options.seed, options.model).to(here.device)
        data = squad_setup.read(options, vocab)
        steps = squad_setup.steps(options, data)
        last = max(1, round(options.ramp * steps))
        folder = run_dir(options, "prune")
        if not options.ramp and not checkpoint_record.newest_first(folder):  # a run that goes on has it behind it
            with doing(f"making {sparsity.share:.0%} of the {sparsity.pieces} zero") as say:
                batches = data.first_batches(_WINDOWS, options.seed, here.device)
                one_shot.prune(network, copy.deepcopy(network), sparsity, batches, say)
        task = Distillation(
            network,
            config,
            Teacher(teacher, taught_by),
            data,
            weights=targets.weights(options),
            seed=options.seed,
            batch=options.batch,
            phases=[
                pruning.Pruning(network, config, sparsity, last_step=last),
                *distillation_setup.int8_phase(options, network, config, data, steps),
            ],
        )
        best = distillation_setup.score(teacher, options.dev, vocab, here)
        recipe = squad_setup.recipe("prune", options, steps)
        code = train_model(task, recipe, options, folder, here)
        found = pruning.zeros(task.exported(), config)
        widths = pruning.widths(task.exported(), config)
        facts = {"started from": options.model.name, "pattern": options.pattern, "scope": options.scope}
        shares = {f"zeros in {name}": f"{share:.1%}" for name, share in found.items()}
        about = distillation_setup.facts(options, from_model, best)
        facts |= {**widths, **shares, **about}
        squad_setup.write_card(options.output, "A pruned BERT", task, options, facts, here)
        share = task.best_f1 / best.f1 if best.f1 else 0.0
        print(f"kept: F1 {task.best_f1:.2f}, {share:.1%} of the teacher's; {found['all']:.1%} zeros; {options.output}")
    return code


def _require_sound(options: argparse.Namespace) -> None:
    """Raise UsageError for a number that cannot be used."""
    for name, example, is_fit in (
        ("sparsity", "0.8", 0 < options.sparsity < 1),
        ("ramp", "0.6", 0 <= options.ramp < 1),
    ):
        if not is_fit:
            found = getattr(options, name)
            raise UsageError(f"expected --{name} between 0 and 1, found {found:g}. Type: --{name} {example}")
    if not options.ramp and options.scope != "layer":
        raise UsageError("expected --scope layer with --ramp 0, found global. Type: --scope layer")
    if options.ramp + options.qat > 1:
        raise UsageError(
            f"expected --ramp and --qat, shares of the steps, of 1 together, found {options.ramp + options.qat:g}. "
            "Type: --ramp 0.6 --qat 0.2"
        )


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.prune", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a model that answers questions")
    parser.add_argument("--teacher", type=Path, metavar="DIR", help="(default: the model itself, dense)")
    parser.add_argument("--sparsity", type=float, default=0.8, metavar="SHARE", help="of zeros (default: %(default)s)")
    parser.add_argument("--pattern", choices=PATTERNS, default="block4", help="of zeros (default: %(default)s)")
    parser.add_argument(
        "--scope", choices=SCOPES, default="layer", help="in which the smallest go (default: each product's or layer's)"
    )
    parser.add_argument(
        "--ramp", type=float, default=0.6, metavar="SHARE", help="of the steps, in which zeros grow; 0: at once"
    )
    squad_inputs.add_flags(parser, epochs=10, rate=1e-4, batch=32)
    targets.add_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(program.run(main))
