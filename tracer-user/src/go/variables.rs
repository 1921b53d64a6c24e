//! stub
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug)]
pub struct Variables {
    pub mbuckets: u64,
    pub mem_profile_rate: u64,
    pub mprof_cycle: u64,
    pub mheap: u64,
    pub gc_controller: u64,
    pub numgc: u64,
    pub sweep_state: u64,
}
