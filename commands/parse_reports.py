"""rrg parse-reports: German and English reports to facts with spans, linked to slices."""

from rrg.llm_options import LlmOptions
from rrg.pipe import Io

from . import _llm
from . import _options as opt
from . import _report_input as given
from . import _report_options as more
from . import _report_phi as masked


@opt.streaming
@_llm.with_llm
def command(
    inputs: opt.Inputs = None,
    reports: given.Reports = None,
    text_column: given.TextColumn = "text",
    id_column: given.IdColumn = "id",
    column: given.Column = None,
    link: given.Link = None,
    image_number: given.ImageNumber = given.ImageNumberChoice.AUTO,
    unmatched: given.Unmatched = given.UnmatchedChoice.ERROR,
    index: given.HeaderIndex = None,
    key_file: opt.KeyFile = None,
    phi: masked.Phi = masked.PhiChoice.MASK,
    phi_known: masked.PhiKnown = None,
    phi_map: masked.PhiMap = True,
    engine: more.EngineOption = more.Engine.RULES,
    rules: more.Rules = None,
    coverage: more.Coverage = None,
    rewrite: more.Rewrite = None,
    translations: more.Translations = None,
    evaluate: more.Evaluate = None,
    at_least: more.AtLeast = None,
    errors: more.Errors = False,
    format: more.Format = more.EvaluationFormat.TABLE,
    *,
    llm: LlmOptions,
    io: Io,
) -> None:
    """Find in reports what they say: sections, structures, findings, sizes, and the slices they point at.

    Each study of slice records (or, with --index, of the index) gets the records of its reports. Without either:
    --unmatched keep < /dev/null. Names, dates and numbers in the text are masked by rules (--phi), which miss some.

    Example:  rrg parse-reports slices.jsonl --reports demo/reports > facts.jsonl
    """
    from rrg.reports.clinic import read_rules, use_rules
    from rrg.reports.run import Task, run_parsing

    clinic = read_rules(rules) if rules else None
    use_rules(clinic)
    if evaluate:
        from rrg.reports.scoreboard import run_evaluation

        as_json = format is more.EvaluationFormat.JSON
        raise SystemExit(
            run_evaluation((*evaluate, *io.inputs), at_least=at_least or (), errors=errors, as_json=as_json, out=io.out)
        )
    task = Task(
        reports=tuple(reports or ()),
        text_column=text_column,
        id_column=id_column,
        columns=tuple(column or ()),
        link=link,
        image_number=image_number.value,
        unmatched=unmatched.value,
        index=index,
        key_file=key_file,
        rules=clinic,
        coverage=coverage,
        rewrite=tuple(each.value for each in rewrite or ()),
        translations=translations,
        engine=engine.value,
        llm=llm,
        phi=phi.value,
        phi_known=phi_known,
        phi_map=phi_map,
    )
    run_parsing(task, io)
