//! Claims: each rule and each verdict on made-up rows, and laws that hold for all rows.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assume, proptest};
use sweep_protocol::{
    AxisRecord, Coordinates, ExperimentRows, Form, Machine, Measurement, MeasurementRow, Metric, NetworkTimes,
    PlanRecord, PlannedRunRecord, RunId, RunRow, Split, Status, ThroughputRecord,
};
use sweep_report::claims::{Basis, Judged, Registration, Scope, Verdict, judge};
use sweep_report::{Answers, Counts, Declaration, PaperNumbers, PaperRow, PaperTable, claim_lines};

use crate::fixture;

const ACCURACY: &str = r#"{ metric = "accuracy", split = "test", form = "deployed" }"#;
const PARAMS: &str = r#"{ metric = "params", form = "deployed" }"#;
const SPEED: &str = r#"{ metric = "throughput", form = "deployed" }"#;

/// Accuracies by label and seed.
type Accuracies<'a> = [(&'a str, Vec<f64>)];

/// Rows of the axis `x` under a profile. Parameters are 3, 2, 1 million in the order of the labels, and each label is
/// timed at 0.1, 0.2, 0.3 seconds.
fn rows(profile: &str, accuracies: &Accuracies<'_>) -> ExperimentRows {
    let labels = accuracies.iter().map(|(label, _)| (*label).to_owned()).collect();
    let plan = PlanRecord {
        experiment: "made-up".to_owned(),
        profile: profile.to_owned(),
        question: String::new(),
        axes: vec![AxisRecord { name: "x".to_owned(), labels }],
        baseline: Coordinates::default(),
        runs: Vec::new(),
        exclusions: Vec::new(),
        metrics: Vec::new(),
        commands: false,
        scale: Some("64 training images".to_owned()),
        source: None,
        claims: BTreeMap::new(),
    };
    let mut rows = ExperimentRows::of_plan(plan);
    for (position, (label, values)) in accuracies.iter().enumerate() {
        for (seed, value) in (0..).zip(values) {
            add(&mut rows, (label, position), seed, *value);
        }
    }
    rows.throughput = Some(timed(accuracies));
    fixture::share_throughput(&mut rows);
    rows
}

fn add(rows: &mut ExperimentRows, (label, position): (&str, usize), seed: u64, accuracy: f64) {
    let coordinates = Coordinates(vec![("x".to_owned(), label.to_owned())]);
    let run = RunId::of(&coordinates.to_string(), seed);
    let networks = [(Form::Deployed, label.to_owned())].into();
    rows.plan.runs.push(PlannedRunRecord { run, seed, coordinates, networks, work: None });
    rows.runs.push(RunRow {
        run,
        status: Status::Succeeded,
        message: None,
        attempts: 1,
        trainer_version: Some(1),
        arithmetic: None,
        processor: None,
        data_fingerprint: None,
        checkpoint_step: 0,
    });
    let mut push = |metric, split, value| {
        let measurement = Measurement { metric, split, form: Some(Form::Deployed), epoch: None, value };
        rows.measurements.push(MeasurementRow { run, measurement });
    };
    push(Metric::Accuracy, Some(Split::Test), accuracy);
    push(Metric::Params, None, 1e6 * (3 - position) as f64);
}

fn timed(accuracies: &Accuracies<'_>) -> ThroughputRecord {
    let network = |(position, (label, _)): (usize, &(&str, Vec<f64>))| {
        let seconds = (0..9).map(|round| 0.1 * (position + 1) as f64 + 0.001 * f64::from(round % 3)).collect();
        ((*label).to_owned(), NetworkTimes { batch: 100, seconds })
    };
    let arithmetic = "cpu avx2 candle-1+kernels-1".parse().unwrap();
    let (host, processor) = ("bench".to_owned(), Some("A Processor".to_owned()));
    ThroughputRecord {
        measured_at_ms: 1,
        code: "0".to_owned(),
        machine: Machine { host, processor, device: "cpu".to_owned(), arithmetic, threads: 1 },
        warmup_rounds: 1,
        clock_mhz: Vec::new(),
        networks: accuracies.iter().enumerate().map(network).collect(),
    }
}

/// A claim, with the scale of a paper.
fn declared(claim: &str) -> Declaration {
    let text = format!(
        "title = 't'\n[paper]\nprofile = 'paper'\nsetting = 'CIFAR-10'\n[[table]]\nid = 't'\nrows = ['x']\n\
         paper = {{ file = 'p.toml', rows = {{ a = 'P.a' }}, excused = {{ 'P.b' = 'not trained' }} }}\n\
         column = [{{ metric = 'params', form = 'deployed', reference = 'params_m' }},\n\
         {{ metric = 'accuracy', split = 'test', form = 'deployed', reference = 'top1' }}]\n\
         [[claim]]\nid = 'c'\ntext = 'A claim.'\n{claim}"
    );
    toml::from_str(&text).unwrap()
}

/// A paper that prints a size of 3.05 M and an accuracy of 90 % for row `P.a`.
fn paper(params_m: f64) -> PaperNumbers {
    let row = |id: &str| PaperRow {
        id: id.to_owned(),
        name: id.to_owned(),
        model: None,
        form: None,
        values: [("params_m".to_owned(), params_m), ("top1".to_owned(), 90.0)].into(),
    };
    let table = PaperTable {
        id: "P".to_owned(),
        title: "Made up".to_owned(),
        source: "no paper".to_owned(),
        page: 1,
        note: None,
        columns: vec!["params_m".to_owned(), "top1".to_owned()],
        rows: vec![row("P.a"), row("P.b")],
    };
    let counts = [("P.a".to_owned(), Counts { params: 3.059e6, flops: 1e6 })].into();
    PaperNumbers { tables: [("p.toml".to_owned(), table)].into(), counts }
}

fn judged(rows: &ExperimentRows, claim: &str) -> Judged {
    judge(rows, &declared(claim), &paper(3.05)).unwrap().remove(0)
}

/// A rule over the rows `a` and `b`.
fn pair(kind: &str, of: &str, bounds: &str) -> String {
    format!("[claim.rule]\nkind = '{kind}'\nrow = {{ x = 'a' }}\nbaseline = {{ x = 'b' }}\nof = {of}\n{bounds}\n")
}

fn good_and_poor() -> Vec<(&'static str, Vec<f64>)> {
    vec![("a", vec![0.90, 0.91, 0.90]), ("b", vec![0.80, 0.81, 0.79]), ("c", vec![0.70, 0.71, 0.72])]
}

#[test]
fn each_rule_has_each_verdict_that_it_can_have() {
    let order = |rows: &str| format!("planned_n = 3\n[claim.rule]\nkind = 'order'\nrows = [{rows}]\nof = {ACCURACY}");
    let monotone = |direction: &str| {
        format!(
            "planned_n = 3\n[claim.rule]\nkind = 'monotone'\naxis = 'x'\ndirection = '{direction}'\nof = {ACCURACY}"
        )
    };
    let value = |value: f64| {
        format!(
            "planned_n = 3\n[claim.rule]\nkind = 'value'\nrow = {{ x = 'a' }}\nof = {ACCURACY}\nvalue = {value}\n\
             margin = 2.0"
        )
    };
    let seeds = |rule: String| format!("planned_n = 3\n{rule}");
    let difference = |bounds: &str| seeds(pair("difference", ACCURACY, bounds));
    let equivalence = |margin: &str| seeds(pair("equivalence", ACCURACY, margin));
    let rows = rows("default", &good_and_poor());
    for (claim, verdict) in [
        (order("{ x = 'a' }, { x = 'b' }, { x = 'c' }"), Verdict::Reproduced),
        (order("{ x = 'a' }, { x = 'c' }, { x = 'b' }"), Verdict::Contradicted),
        (monotone("falling"), Verdict::Reproduced),
        (monotone("rising"), Verdict::Contradicted),
        (value(90.0), Verdict::Reproduced),
        (value(80.0), Verdict::Contradicted),
        (value(92.5), Verdict::Inconclusive),
        (difference("at_least = 5.0"), Verdict::Reproduced),
        (difference("at_most = 5.0"), Verdict::Contradicted),
        (difference("at_least = 10.0"), Verdict::Inconclusive),
        (difference("at_least = 5.0\nat_most = 15.0"), Verdict::Reproduced),
        (equivalence("margin = 20.0"), Verdict::Reproduced),
        (equivalence("margin = 1.0"), Verdict::Contradicted),
        (seeds(pair("ratio", ACCURACY, "at_least = 1.05")), Verdict::Reproduced),
        (pair("ratio", PARAMS, "at_least = 1.5\nat_most = 1.6"), Verdict::Reproduced),
        (pair("ratio", PARAMS, "at_least = 1.6"), Verdict::Contradicted),
        (pair("difference", PARAMS, "at_least = 1.0"), Verdict::Reproduced),
        (pair("ratio", SPEED, "at_least = 1.9"), Verdict::Reproduced),
        (pair("ratio", SPEED, "at_most = 1.9"), Verdict::Contradicted),
    ] {
        let found = judged(&rows, &claim);
        assert_eq!((found.verdict, found.basis), (verdict, Basis::Runs), "{claim}\n{found:#?}");
    }
}

#[test]
fn a_rule_is_said_in_words() {
    let order =
        format!("planned_n = 3\n[claim.rule]\nkind = 'order'\nrows = [{{ x = 'a' }}, {{ x = 'b' }}]\nof = {ACCURACY}");
    let monotone = format!("[claim.rule]\nkind = 'monotone'\naxis = 'x'\ndirection = 'falling'\nof = {PARAMS}");
    let value = format!(
        "planned_n = 2\n[claim.rule]\nkind = 'value'\nrow = {{ x = 'a' }}\nof = {ACCURACY}\nvalue = 90.0\nmargin = 2.0"
    );
    let printed =
        "planned_n = 3\n[claim.rule]\nkind = 'as_printed'\ntable = 't'\ncolumn = 'top1'\nmargin = 1.0".to_owned();
    let seeds = |rule: String| format!("planned_n = 3\n{rule}");
    let rows = rows("default", &good_and_poor());
    for (claim, words) in [
        (order, "test accuracy, deployed: a > b, 3 seeds"),
        (monotone, "params, deployed: falls over x"),
        (value, "test accuracy, deployed: a = 90 ± 2 %, 2 seeds"),
        (
            seeds(pair("difference", ACCURACY, "at_least = -1.5")),
            "test accuracy, deployed: a − b ≥ −1.5 points, 3 seeds",
        ),
        (pair("difference", PARAMS, "at_least = 1.0\nat_most = 2.0"), "params, deployed: 1 ≤ a − b ≤ 2 M"),
        (pair("ratio", SPEED, "at_most = 1.9"), "throughput, deployed: a ÷ b ≤ 1.9"),
        (seeds(pair("equivalence", ACCURACY, "margin = 2.0")), "test accuracy, deployed: |a − b| ≤ 2 points, 3 seeds"),
        (printed, "top1 of each row of “t” as printed ± 1, 3 seeds"),
    ] {
        assert_eq!(judged(&rows, &claim).rule, words);
    }
}

#[test]
fn another_scale_decides_directions_only() {
    let rows = rows("default", &good_and_poor());
    let of_paper = |rule: String| judged(&rows, &format!("source = 'section 4'\nplanned_n = 3\n{rule}"));
    let number = of_paper(pair("difference", ACCURACY, "at_least = 30.0\nat_most = 31.0"));
    assert_eq!((number.verdict, number.basis), (Verdict::DirectionReproduced, Basis::RunsElsewhere));
    assert!(number.notes.iter().any(|note| note.contains("CIFAR-10") && note.contains("64 training")), "{number:?}");
    let wrong = of_paper(pair("difference", ACCURACY, "at_most = -1.0"));
    assert_eq!(wrong.verdict, Verdict::ContradictedElsewhere, "it does not contradict the paper");
    for claim in [
        pair("equivalence", ACCURACY, "margin = 20.0"),
        pair("difference", ACCURACY, "at_least = -5.0"),
        "[claim.rule]\nkind = 'as_printed'\ntable = 't'\ncolumn = 'top1'\nmargin = 1.0".to_owned(),
    ] {
        assert_eq!(of_paper(claim.clone()).verdict, Verdict::NotComparable, "{claim}");
    }
    let speed = of_paper(pair("ratio", SPEED, "at_least = 1.5"));
    assert_eq!(speed.verdict, Verdict::DirectionReproduced);
    assert!(speed.notes.iter().any(|note| note.contains("on this machine (A Processor)")), "{speed:?}");
    // An own claim is about its own profile.
    let own =
        judged(&rows, &format!("profile = 'large'\nplanned_n = 3\n{}", pair("difference", ACCURACY, "at_least = 0.0")));
    assert_eq!(own.verdict, Verdict::DirectionReproduced);
}

#[test]
fn counts_need_no_runs_and_are_cut_off_as_printed() {
    let mut rows = rows("smoke", &good_and_poor());
    rows.runs.clear();
    rows.measurements.clear();
    let claim = "source = 'Table P'\n[claim.rule]\nkind = 'as_printed'\ntable = 't'\ncolumn = 'params_m'";
    let found = judged(&rows, claim);
    assert_eq!((found.verdict, found.basis), (Verdict::Reproduced, Basis::Counts), "{found:?}");
    assert_eq!(found.registration, Registration::Open);
    for (printed, verdict) in [(3.06, Verdict::Contradicted), (3.04, Verdict::Contradicted), (3.0, Verdict::Reproduced)]
    {
        let found = judge(&rows, &declared(claim), &paper(printed)).unwrap().remove(0);
        assert_eq!(found.verdict, verdict, "{printed}");
    }
}

#[test]
fn too_few_seeds_decide_nothing_and_say_how_many_would() {
    let claim = |n: u32| format!("planned_n = {n}\n{}", pair("difference", ACCURACY, "at_least = 0.0"));
    let early = judged(&rows("default", &good_and_poor()), &claim(5));
    assert_eq!(early.verdict, Verdict::Inconclusive);
    assert!(early.reason.contains("3 of 5 planned seeds"), "{}", early.reason);
    let noisy = [("a", vec![0.90, 0.86, 0.88]), ("b", vec![0.87, 0.88, 0.86])];
    let noisy = judged(&rows("default", &noisy), &claim(3));
    assert_eq!(noisy.verdict, Verdict::Inconclusive);
    assert!(noisy.seeds_needed.is_some_and(|n| n > 3) && noisy.reason.contains("seeds would decide"), "{noisy:?}");
    let mut missing = rows("default", &good_and_poor());
    missing.runs.retain(|row| row.run != missing.plan.runs[0].run);
    missing.measurements.clear();
    assert_eq!(judged(&missing, &claim(3)).verdict, Verdict::NotMeasured);
    missing.runs[0].status = Status::Pruned;
    assert!(judged(&missing, &claim(3)).reason.contains("pruned"));
}

#[test]
fn a_claim_that_changed_after_the_runs_says_so() {
    let mut rows = rows("default", &good_and_poor());
    let claim = format!("planned_n = 3\n{}", pair("difference", ACCURACY, "at_least = 0.0"));
    assert_eq!(judged(&rows, &claim).registration, Registration::After);
    let declaration = declared(&claim);
    rows.plan.claims = Scope { declaration: &declaration, plan: &rows.plan, paper: &PaperNumbers::default() }.digests();
    assert_eq!(judged(&rows, &claim).registration, Registration::Before);
    let eased = claim.replace("at_least = 0.0", "at_least = -1.0");
    assert_eq!(judged(&rows, &eased).registration, Registration::Changed);
}

#[test]
fn a_registered_claim_that_is_no_longer_declared_is_named() {
    let mut rows = rows("default", &good_and_poor());
    rows.plan.claims = [("gone".to_owned(), "digest".to_owned())].into();
    let claim = format!("planned_n = 3\n{}", pair("difference", ACCURACY, "at_least = 0.0"));
    let answers = Answers::of(&rows, &declared(&claim), &paper(3.05)).unwrap();
    assert_eq!(answers.withdrawn, ["gone"]);
    let shown = claim_lines(&answers.claims, &answers.withdrawn, 160);
    assert!(shown.contains("no longer declared: gone"), "{shown}");
    assert!(claim_lines(&[], &answers.withdrawn, 160).contains("gone"));
}

#[test]
fn labels_that_a_claim_runs_over_are_part_of_it() {
    let rows = rows("default", &good_and_poor());
    let axis = &rows.plan.axes[0].name;
    let rule = format!("rule = {{ kind = \"monotone\", axis = \"{axis}\", direction = \"rising\", of = {ACCURACY} }}");
    let declaration = declared(&rule);
    let of = |plan: &PlanRecord| Scope { declaration: &declaration, plan, paper: &PaperNumbers::default() }.digests();
    let mut shorter = rows.plan.clone();
    shorter.axes[0].labels.pop();
    assert_ne!(of(&rows.plan), of(&shorter));
}

#[test]
fn more_seeds_than_planned_are_said() {
    let rows = rows("default", &good_and_poor());
    let with = |n: usize| format!("planned_n = {n}\n{}", pair("difference", ACCURACY, "at_least = 0.0"));
    assert!(judged(&rows, &with(2)).reason.contains("judged with 3 seeds, 2 were planned"));
    assert!(!judged(&rows, &with(3)).reason.contains("planned"));
}

#[test]
fn values_that_a_rule_cannot_compare_are_no_missing_values() {
    let rows = rows("default", &[("a", vec![0.1, -0.1, 0.2]), ("b", vec![0.3, 0.1, 0.2])]);
    let found = judged(&rows, &format!("planned_n = 3\n{}", pair("ratio", ACCURACY, "at_least = 1.0")));
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.reason.contains("a ratio needs values above 0, and one of seed 1 is not"), "{}", found.reason);
    let same = self::rows("default", &[("a", vec![0.75, 0.5, 0.25]), ("b", vec![0.5, 0.25, 0.0])]);
    let found = judged(&same, &format!("planned_n = 3\n{}", pair("difference", ACCURACY, "at_least = 0.0")));
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.reason.contains("the same in every seed, so there is no interval"), "{}", found.reason);
}

#[test]
fn throughput_of_commands_differs_by_seed_and_needs_a_planned_number() {
    let mut rows = rows("default", &good_and_poor());
    let claim = pair("ratio", SPEED, "at_least = 1.9");
    assert!(judge(&rows, &declared(&claim), &paper(3.05)).is_ok());
    rows.plan.commands = true;
    let fault = judge(&rows, &declared(&claim), &paper(3.05)).unwrap_err().to_string();
    assert!(fault.contains("say with `planned_n`"), "{fault}");
}

#[test]
fn faults_of_claims_are_named_with_what_to_write() {
    let rows = rows("default", &good_and_poor());
    for (claim, told) in [
        (pair("difference", ACCURACY, "at_least = 0.0"), "`planned_n`"),
        (pair("ratio", PARAMS, ""), "add `at_least` or `at_most`"),
        (pair("difference", SPEED, "at_least = 0.0"), "throughput is compared by"),
        (pair("ratio", PARAMS, "at_least = 1.0").replace("x = 'a'", "x = 'z'"), "axis `x` has no label `z`"),
        (pair("equivalence", PARAMS, "margin = 0.0"), "`margin` must be"),
        (format!("level = 0.5\n{}", pair("ratio", PARAMS, "at_least = 1.0")), "`level` must be"),
        ("[claim.rule]\nkind = 'as_printed'\ntable = 'z'\ncolumn = 'top1'".to_owned(), "known: t"),
        ("[claim.rule]\nkind = 'as_printed'\ntable = 't'\ncolumn = 'top1'".to_owned(), "add `margin`"),
    ] {
        let fault = judge(&rows, &declared(&claim), &paper(3.05)).unwrap_err().to_string();
        assert!(fault.contains("claim `c`") && fault.contains(told), "{fault}");
    }
    let claim = pair("ratio", PARAMS, "at_least = 1.0");
    let mut unexcused = declared(&claim);
    unexcused.tables[0].paper.as_mut().unwrap().excused.clear();
    let fault = judge(&rows, &unexcused, &paper(3.05)).unwrap_err().to_string();
    assert!(fault.contains("table `t`: row `P.b` of p.toml is neither matched nor excused"), "{fault}");
}

/// Accuracies of two rows.
fn two_rows() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (3_usize..8)
        .prop_flat_map(|n| {
            let values = || prop::collection::vec(0.5_f64..0.9, n);
            (values(), values(), Just(()))
        })
        .prop_map(|(a, b, ())| (a, b))
}

proptest! {
    #[test]
    fn a_claim_and_its_reverse_are_never_both_reproduced((a, b) in two_rows(), bound in -5.0_f64..5.0) {
        let rows = rows("default", &[("a", a), ("b", b)]);
        let claim = |bound: String| format!("planned_n = 3\n{}", pair("difference", ACCURACY, &bound));
        let verdicts = [format!("at_least = {bound:?}"), format!("at_most = {bound:?}")]
            .map(|bound| judged(&rows, &claim(bound)).verdict);
        prop_assert!(verdicts != [Verdict::Reproduced; 2]);
        prop_assert!(verdicts != [Verdict::Contradicted; 2]);
    }

    #[test]
    fn more_seeds_of_the_same_kind_keep_a_claim_reproduced((a, noise) in two_rows(), times in 2_usize..5) {
        // The second row is poorer by about 14 points, so most claims are reproduced.
        let b: Vec<f64> = a.iter().zip(&noise).map(|(a, noise)| a - 0.2 * noise).collect();
        let claim = format!("planned_n = 3\n{}", pair("difference", ACCURACY, "at_least = 0.0"));
        let first = judged(&rows("default", &[("a", a.clone()), ("b", b.clone())]), &claim).verdict;
        prop_assume!(first == Verdict::Reproduced);
        // Repeated values have the same mean, and a standard deviation that is not larger.
        let more = [("a", a.repeat(times)), ("b", b.repeat(times))];
        prop_assert!(judged(&rows("default", &more), &claim).verdict == Verdict::Reproduced);
    }
}
