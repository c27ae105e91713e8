//! CPU time and resident memory of a process, by `/proc`; and pinning a thread to a core. Linux.

use std::{fs, io, path::Path};

use rustix::thread::{CpuSet, sched_setaffinity};

/// CPU time of a process, all its living threads together, in nanoseconds.
///
/// # Errors
/// If there is no such process, or the kernel keeps no such figures.
pub fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended meanwhile has no figures any more.
        total += thread_cpu_ns(&task?.path()).unwrap_or(0);
    }
    Ok(total)
}

fn thread_cpu_ns(task: &Path) -> Option<u64> {
    fs::read_to_string(task.join("schedstat")).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// Resident memory of a process, in MiB.
///
/// # Errors
/// If there is no such process.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn rss_mib(pid: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or_else(|| io::Error::other("no VmRSS"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().map_err(io::Error::other)?;
    Ok(kib as f64 / 1024.0)
}

/// Keeps this thread, and the threads and processes it starts from now on, on one core.
///
/// # Errors
/// If there is no such core for this process.
pub fn pin(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::other(format!("no core {core}; the highest is {}", CpuSet::MAX_CPU - 1)));
    }
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_own_figures() {
        let pid = std::process::id();
        assert!(rss_mib(pid).unwrap() > 0.5);
        assert!(cpu_ns(pid).unwrap() > 0);
        assert!(rss_mib(0).is_err());
    }

    #[test]
    fn a_thread_is_pinned_to_a_core_that_exists() {
        let pinned = std::thread::spawn(|| {
            let allowed = rustix::thread::sched_getaffinity(None).unwrap();
            let core = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).unwrap();
            pin(core).unwrap();
            rustix::thread::sched_getaffinity(None).unwrap().count()
        });
        assert_eq!(pinned.join().unwrap(), 1);
        assert!(pin(usize::MAX).is_err());
    }
}
