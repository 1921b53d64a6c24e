//! Where a program allocates: the sources `spans` and `exact`.
//!
//! `mallocgc` and its kin take slots from a span that their P holds. When it is full, `(*mcache).nextFree` calls `refill`,
//! and then `(*mspan).nextFreeIndex` of the new span: that call is the probe, for there the span is in a register and
//! nothing is allocated from it yet. Large objects get their own span in `allocLarge`, which hands it to
//! `(*spanSet).push`. Up to go1.26 every allocation enters `mallocgc`; go1.27, and go1.26 by an experiment, have functions
//! for single size classes (`…SC7`) that compiled code calls directly, and that `mallocgc` calls too.
//!
//! A build with a profile (PGO) inlines any of these into others, so all of them are searched for those calls. Where it
//! has inlined the callee that is looked for, the probe goes to the nil check of the call that made the span: that of
//! `(*mcentral).cacheSpan` or `(*mheap).alloc`.
//!
//! Source: `runtime/malloc.go`, `runtime/mcache.go`, `runtime/malloc_generated.go`, go1.18 to go1.27.

use std::sync::Arc;

use super::code::{Call, calls, nil_checks};
use super::{
    Instruction, Kind, MAX_CODE_BYTES, ProbePlan, ProbePoint, Wanted, entry, point, read, refuse,
};
use crate::go::program::{Code, Program};
use crate::go::static_image::StaticImage;
use crate::refusal::Refusal;

const MALLOCGC: &str = "runtime.mallocgc";
const NEXT_FREE: &str = "runtime.(*mcache).nextFree";
const REFILL: &str = "runtime.(*mcache).refill";
const ALLOC_LARGE: &str = "runtime.(*mcache).allocLarge";
const CACHE_SPAN: &str = "runtime.(*mcentral).cacheSpan";
const NEXT_FREE_INDEX: &str = "runtime.(*mspan).nextFreeIndex";
const SPAN_SET_PUSH: &str = "runtime.(*spanSet).push";
const HEAP_ALLOC: &str = "runtime.(*mheap).alloc";

/// What is looked up, in one pass over the names: a name that is missing would cost a pass of its own.
const PREFIXES: [&str; 8] = [
    MALLOCGC,
    NEXT_FREE,
    REFILL,
    ALLOC_LARGE,
    CACHE_SPAN,
    NEXT_FREE_INDEX,
    SPAN_SET_PUSH,
    HEAP_ALLOC,
];

/// Functions of single size classes or sizes. Their slow paths have other names: they are called from these alone.
const SPECIALISED: [&str; 4] = [
    "runtime.mallocgcTinySC",
    "runtime.mallocgcTinySize",
    "runtime.mallocgcSmallNoScanSC",
    "runtime.mallocgcSmallScanNoHeaderSC",
];

/// One of the functions, with what it calls.
#[derive(Debug)]
struct Function {
    name: Arc<str>,
    code: Code,
    /// Empty where the function does not allocate.
    bytes: Vec<u8>,
    calls: Vec<Call>,
}

impl Function {
    /// Calls of a function, by address.
    fn calls_of(&self, callee: Option<u64>) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .filter(move |call| Some(call.target) == callee)
    }

    /// The nil checks of what a function returns; `None` when a call of it has none.
    fn checks_of(&self, callee: u64) -> Option<Vec<u64>> {
        let checks = nil_checks(&self.bytes, self.code.start, callee);
        (checks.len() == self.calls_of(Some(callee)).count()).then_some(checks)
    }
}

/// The functions that take part in allocations.
#[derive(Debug)]
struct Functions(Vec<Function>);

impl Functions {
    fn find(program: &Program, image: &dyn StaticImage) -> Result<Self, Refusal> {
        let found = program.functions_with_prefix(image, &PREFIXES);
        let functions = found.into_iter().map(|(name, code)| {
            let bytes = if allocates(&name) {
                read(image, &name, code, MAX_CODE_BYTES)?
            } else {
                Vec::new()
            };
            let calls = calls(&bytes, code.start);
            Ok(Function {
                name,
                code,
                bytes,
                calls,
            })
        });
        Ok(Self(functions.collect::<Result<_, Refusal>>()?))
    }

    fn get(&self, name: &str) -> Option<&Function> {
        self.0.iter().find(|function| &*function.name == name)
    }

    /// Start of a function; `None` when it is inlined everywhere.
    fn start(&self, name: &str) -> Option<u64> {
        self.get(name).map(|function| function.code.start)
    }

    /// Those that run on behalf of an allocation, callers of `refill` and of what makes large objects.
    fn callers(&self) -> impl Iterator<Item = &Function> {
        self.0.iter().filter(|function| &*function.name != REFILL)
    }

    /// Every nil check of what `callee` returns to one of `functions`; none when a call of it has none.
    fn checks_of<'f>(
        &self,
        functions: impl Iterator<Item = &'f Function>,
        callee: &str,
    ) -> Vec<(&'f Function, u64)> {
        let Some(callee) = self.start(callee) else {
            return Vec::new();
        };
        let checks = functions.map(|function| {
            let checks = function.checks_of(callee)?;
            Some(checks.into_iter().map(move |vaddr| (function, vaddr)))
        });
        let checks: Option<Vec<_>> = checks.collect();
        checks.into_iter().flatten().flatten().collect()
    }

    fn specialised(&self) -> impl Iterator<Item = &Function> {
        self.0
            .iter()
            .filter(|function| is_specialised(&function.name))
    }
}

/// Functions whose code may take a span or a large object.
fn allocates(name: &str) -> bool {
    name.starts_with(MALLOCGC) || [NEXT_FREE, REFILL, ALLOC_LARGE].contains(&name)
}

fn is_specialised(name: &str) -> bool {
    SPECIALISED.iter().any(|prefix| name.starts_with(prefix))
}

/// Adds the probes of `spans` or `exact`.
pub(super) fn plan(
    program: &Program,
    image: &dyn StaticImage,
    wanted: Wanted,
    plan: &mut ProbePlan,
) -> Result<(), Refusal> {
    let functions = Functions::find(program, image)?;
    spans(&functions, image, wanted, plan)?;
    large(&functions, image, plan)?;
    if wanted == Wanted::Exact {
        allocations(&functions, image, plan)?;
    }
    Ok(())
}

/// The calls of `nextFreeIndex` behind `refill`, or behind the `cacheSpan` of an inlined one; where one has none, the nil
/// checks of what `cacheSpan` returns.
fn spans(
    functions: &Functions,
    image: &dyn StaticImage,
    wanted: Wanted,
    plan: &mut ProbePlan,
) -> Result<(), Refusal> {
    let refills = [functions.start(REFILL), functions.start(CACHE_SPAN)];
    let next_free_index = functions.start(NEXT_FREE_INDEX);
    let mut taken = Vec::new();
    let mut missed = Vec::new();
    for function in functions.callers() {
        let (behind, is_missed) = calls_behind(&function.calls, &refills, next_free_index);
        taken.extend(behind.into_iter().map(|vaddr| (function, vaddr)));
        if is_missed {
            missed.push(format!(
                "spans that {} takes are not seen: this build has no call of {NEXT_FREE_INDEX} behind it",
                function.name
            ));
        }
    }
    let mut instruction = Instruction::Call;
    if taken.is_empty() || !missed.is_empty() {
        let checks = functions.checks_of(functions.0.iter(), CACHE_SPAN);
        let refill = functions.start(REFILL);
        let calls_refill = |function: &Function| function.calls_of(refill).next().is_some();
        let has_refill = checks.iter().any(|(function, _)| &*function.name == REFILL);
        if !checks.is_empty() && (has_refill || !functions.callers().any(calls_refill)) {
            (taken, missed) = (checks, Vec::new());
            instruction = Instruction::NilCheck;
        }
    }
    plan.notes.append(&mut missed);
    if !taken.is_empty() {
        return place(image, Kind::Span, &taken, instruction, plan);
    }
    if wanted == Wanted::Exact {
        // Everything is counted all the same.
        plan.notes.push(format!(
            "live objects are too few: one that needs a new span is counted and not followed, since neither {NEXT_FREE} nor what it may be inlined into calls refill and then {NEXT_FREE_INDEX}"
        ));
        return Ok(());
    }
    Err(refuse(
        NEXT_FREE,
        "neither it nor what it may be inlined into calls refill and then nextFreeIndex",
    ))
}

/// Adds points of one kind.
fn place(
    image: &dyn StaticImage,
    kind: Kind,
    at: &[(&Function, u64)],
    instruction: Instruction,
    plan: &mut ProbePlan,
) -> Result<(), Refusal> {
    for (function, vaddr) in at {
        let name = function.name.to_string().into();
        plan.points
            .push(point(image, kind, name, *vaddr, instruction)?);
    }
    Ok(())
}

/// The calls of `callee` that come first behind one of `marks`, and whether any of `marks` has none.
fn calls_behind(calls: &[Call], marks: &[Option<u64>], callee: Option<u64>) -> (Vec<u64>, bool) {
    let mut is_marked = false;
    let mut is_missed = false;
    let mut found = Vec::new();
    for call in calls {
        if marks.contains(&Some(call.target)) {
            is_missed |= is_marked;
            is_marked = true;
        } else if is_marked && Some(call.target) == callee {
            is_marked = false;
            found.push(call.vaddr);
        }
    }
    (found, is_missed || is_marked)
}

/// The calls of `(*spanSet).push` behind `(*mheap).alloc`, in `allocLarge` and in what it may be inlined into; where one has
/// none, the nil checks of what `(*mheap).alloc` returns. Spans of small objects that are made or pushed there too, where
/// a profile has inlined more, the program tells by their class.
fn large(
    functions: &Functions,
    image: &dyn StaticImage,
    plan: &mut ProbePlan,
) -> Result<(), Refusal> {
    let push = functions.start(SPAN_SET_PUSH);
    let made = [functions.start(HEAP_ALLOC)];
    let mut told = Vec::new();
    let mut is_missed = false;
    for function in functions.callers() {
        let (behind, misses) = calls_behind(&function.calls, &made, push);
        told.extend(behind.into_iter().map(|vaddr| (function, vaddr)));
        is_missed |= misses;
    }
    let mut instruction = Instruction::Call;
    if told.is_empty() || is_missed {
        let checks = functions.checks_of(functions.callers(), HEAP_ALLOC);
        if !checks.is_empty() {
            told = checks;
            instruction = Instruction::NilCheck;
        }
    }
    if told.is_empty() {
        plan.notes.push(format!(
            "objects of more than 32 KiB are not seen: this build has no call of {SPAN_SET_PUSH} in {ALLOC_LARGE}, nor a nil check behind one of {HEAP_ALLOC}"
        ));
    }
    place(image, Kind::Large, &told, instruction, plan)
}

/// Every allocation, once.
fn allocations(
    functions: &Functions,
    image: &dyn StaticImage,
    plan: &mut ProbePlan,
) -> Result<(), Refusal> {
    let mallocgc = functions
        .get(MALLOCGC)
        .ok_or_else(|| refuse(MALLOCGC, "the program has no such function"))?;
    let mut probed: Vec<&Function> = functions.specialised().collect();
    if probed.is_empty() {
        probed.push(mallocgc);
    } else if let Some(leaves) = leaves(functions, mallocgc) {
        // One probe for each allocation, whichever way it takes.
        probed.extend(leaves);
    } else {
        // A specialised function was inlined into `mallocgc`, or one of those for the other sizes.
        probed.push(mallocgc);
        plan.mallocgc = Some(mallocgc.code);
    }
    let points = probed.into_iter().map(|function| {
        let name = function.name.to_string().into();
        let point = entry(image, Kind::Alloc, name, function.code)?;
        let is_checked = point.vaddr != function.code.start;
        Ok((point, is_checked))
    });
    let points = points.collect::<Result<_, Refusal>>()?;
    plan.points.extend(filterable(points, &mut plan.notes));
    Ok(())
}

/// Points of one kind that one filter of flags fits, each with whether a stack check is before it: see
/// [`ProbePlan::jbe_filter`]. Without a check the flags are those of the caller, and the filter would drop hits by
/// chance: where any point has one, those without are left out, and said to be.
fn filterable(points: Vec<(ProbePoint, bool)>, notes: &mut Vec<String>) -> Vec<ProbePoint> {
    let has_filter = points.iter().any(|(point, _)| point.jbe_filter);
    let (kept, left_out): (Vec<_>, Vec<_>) = points
        .into_iter()
        .partition(|(_, is_checked)| !has_filter || *is_checked);
    notes.extend(left_out.into_iter().map(|(point, _)| {
        format!(
            "what {} allocates is not counted: it has no stack check, as others in this build have",
            point.function
        )
    }));
    kept.into_iter().map(|(point, _)| point).collect()
}

/// The functions that `mallocgc` calls for sizes without a specialised one; `None` where it allocates itself, since
/// something is inlined into it.
fn leaves<'f>(functions: &'f Functions, mallocgc: &Function) -> Option<Vec<&'f Function>> {
    let is_called = |function: &&Function| {
        let mut calls = mallocgc.calls.iter();
        calls.any(|call| call.target == function.code.start)
    };
    let called: Vec<&Function> = functions.0.iter().filter(is_called).collect();
    let is_leaf = |function: &&Function| {
        function.name.starts_with(MALLOCGC)
            && !function.name.ends_with("SlowPath")
            && &*function.name != MALLOCGC
            && !is_specialised(&function.name)
    };
    // `mallocgcTinySC2` is called by name: it is probed anyway.
    let only_leaves = called
        .iter()
        .all(|function| is_leaf(function) || is_specialised(&function.name));
    only_leaves.then(|| called.into_iter().filter(is_leaf).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(vaddr: u64, target: u64) -> Call {
        Call { vaddr, target }
    }

    #[test]
    fn a_filter_of_flags_leaves_out_what_sets_none() {
        let point = |function: &'static str, instruction| ProbePoint {
            kind: Kind::Alloc,
            function: function.into(),
            vaddr: 0,
            file_offset: 0,
            instruction,
            jbe_filter: instruction == Instruction::Jbe,
        };
        let names = |points: Vec<(ProbePoint, bool)>| {
            let mut notes = Vec::new();
            let kept = filterable(points, &mut notes);
            let kept: Vec<_> = kept.into_iter().map(|point| point.function).collect();
            (kept, notes.len())
        };
        let behind = (point("behind", Instruction::PushRbp), true);
        let first = (point("first", Instruction::PushRbp), false);
        let on_jbe = (point("on_jbe", Instruction::Jbe), true);
        let unfiltered = names(vec![behind.clone(), first.clone()]);
        assert_eq!(unfiltered, (vec!["behind".into(), "first".into()], 0));
        let filtered = names(vec![behind, first, on_jbe]);
        assert_eq!(filtered, (vec!["behind".into(), "on_jbe".into()], 1));
    }

    #[test]
    fn a_span_is_taken_by_the_first_call_behind_each_refill() {
        const REFILL: u64 = 1;
        const CACHE_SPAN: u64 = 2;
        const INDEX: u64 = 3;
        let marks = [Some(REFILL), Some(CACHE_SPAN)];
        let plain = [call(10, INDEX), call(20, REFILL), call(30, INDEX)];
        assert_eq!(calls_behind(&plain, &marks, Some(INDEX)), (vec![30], false));
        let twice = [
            call(10, CACHE_SPAN),
            call(20, 99),
            call(30, INDEX),
            call(40, INDEX),
            call(50, REFILL),
            call(60, INDEX),
        ];
        assert_eq!(
            calls_behind(&twice, &marks, Some(INDEX)),
            (vec![30, 60], false)
        );
        let inlined = [call(10, INDEX), call(20, REFILL)];
        assert_eq!(calls_behind(&inlined, &marks, Some(INDEX)), (vec![], true));
        let first_inlined = [call(10, REFILL), call(20, REFILL), call(30, INDEX)];
        assert_eq!(
            calls_behind(&first_inlined, &marks, Some(INDEX)),
            (vec![30], true)
        );
        assert_eq!(calls_behind(&plain, &[None, None], None), (vec![], false));
    }
}
