//! What a parked goroutine waits for, in the runtime's words.
//!
//! Releases number the reasons differently and agree on names and words; [`super::facts`] says which number means which.
//! `cargo xtask offsets` compiles this file as well, so that it depends on nothing.
//!
//! Source: `waitReasonStrings`, Go `src/runtime/runtime2.go`, go1.18 to go1.27. (go1.24 says "synctest" for "durable".)

/// Name of the constant in package runtime, and its words. The first stands for none.
pub const KNOWN: [(&str, &str); 48] = [
    ("waitReasonZero", ""),
    ("waitReasonGCAssistMarking", "GC assist marking"),
    ("waitReasonIOWait", "IO wait"),
    ("waitReasonChanReceiveNilChan", "chan receive (nil chan)"),
    ("waitReasonChanSendNilChan", "chan send (nil chan)"),
    ("waitReasonDumpingHeap", "dumping heap"),
    ("waitReasonGarbageCollection", "garbage collection"),
    ("waitReasonGarbageCollectionScan", "garbage collection scan"),
    ("waitReasonPanicWait", "panicwait"),
    ("waitReasonSelect", "select"),
    ("waitReasonSelectNoCases", "select (no cases)"),
    ("waitReasonGCAssistWait", "GC assist wait"),
    ("waitReasonGCSweepWait", "GC sweep wait"),
    ("waitReasonGCScavengeWait", "GC scavenge wait"),
    ("waitReasonChanReceive", "chan receive"),
    ("waitReasonChanSend", "chan send"),
    ("waitReasonFinalizerWait", "finalizer wait"),
    ("waitReasonForceGCIdle", "force gc (idle)"),
    ("waitReasonSemacquire", "semacquire"),
    ("waitReasonSleep", "sleep"),
    ("waitReasonSyncCondWait", "sync.Cond.Wait"),
    ("waitReasonTimerGoroutineIdle", "timer goroutine (idle)"),
    ("waitReasonTraceReaderBlocked", "trace reader (blocked)"),
    ("waitReasonWaitForGCCycle", "wait for GC cycle"),
    ("waitReasonGCWorkerIdle", "GC worker (idle)"),
    ("waitReasonPreempted", "preempted"),
    ("waitReasonDebugCall", "debug call"),
    ("waitReasonSyncMutexLock", "sync.Mutex.Lock"),
    ("waitReasonSyncRWMutexRLock", "sync.RWMutex.RLock"),
    ("waitReasonSyncRWMutexLock", "sync.RWMutex.Lock"),
    ("waitReasonGCWorkerActive", "GC worker (active)"),
    ("waitReasonGCMarkTermination", "GC mark termination"),
    ("waitReasonStoppingTheWorld", "stopping the world"),
    ("waitReasonFlushProcCaches", "flushing proc caches"),
    ("waitReasonTraceGoroutineStatus", "trace goroutine status"),
    ("waitReasonTraceProcStatus", "trace proc status"),
    ("waitReasonPageTraceFlush", "page trace flush"),
    ("waitReasonCoroutine", "coroutine"),
    ("waitReasonGCWeakToStrongWait", "GC weak to strong wait"),
    ("waitReasonSyncWaitGroupWait", "sync.WaitGroup.Wait"),
    ("waitReasonSynctestRun", "synctest.Run"),
    ("waitReasonSynctestWait", "synctest.Wait"),
    ("waitReasonSynctestChanReceive", "chan receive (durable)"),
    ("waitReasonSynctestChanSend", "chan send (durable)"),
    ("waitReasonSynctestSelect", "select (durable)"),
    (
        "waitReasonUpdateGOMAXPROCSIdle",
        "GOMAXPROCS updater (idle)",
    ),
    (
        "waitReasonSynctestWaitGroupWait",
        "sync.WaitGroup.Wait (durable)",
    ),
    ("waitReasonCleanupWait", "cleanup wait"),
];
