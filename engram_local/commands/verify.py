"""engram-local verify."""

from engram_local.commands.options import JsonOutput, OptionalModel, OutputFile, ProgressStyle, command
from engram_local.commands.terminal import Result, show
from engram_local.errors import ModelFolderError


@command()
def verify(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Re-read a model against its sizes and checksums, and say what that does not prove.

    \b
    Examples:
      engram-local verify my-model
    """
    from engram_local import verification
    from engram_local.model_folder import POCKET
    from engram_local.progress import progress_bar

    result, findings = Result(json_output, output), []
    with progress_bar(progress) as report:
        for finding in verification.verify(model or POCKET, report):
            findings.append(finding)
            if not json_output:
                show(f"{ {True: 'ok  ', False: 'BAD ', None: 'note'}[finding.ok] } {finding.file}: {finding.text}")
    bad = sum(x.ok is False for x in findings)
    told = {"ok": not bad, "findings": [vars(x) for x in findings], "not_proven": verification.LIMITS}
    if not result.give(told):
        for text in verification.LIMITS:
            show(f"note not proven: {text}")
    if bad:
        raise ModelFolderError(
            f"{model or POCKET}: {bad} of {len(findings)} checks failed; fetch or export the model again"
        )
