//! The process as the kernel counts it, under the names that Prometheus gives to all programs.

use std::fs;

use jiff::Timestamp;

use crate::server::exposition::Page;

/// `proc(5)` counts processor time in these; it is 100 on every Linux that programs see.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes down what `/proc` says. What it does not say is left out.
pub(super) fn render(page: &mut Page, started: Timestamp) {
    let help = "When the process started, in seconds since 1970.";
    page.gauge("process_start_time_seconds", help).value(started.as_second());
    if let Some(ticks) = read("stat").as_deref().and_then(ticks_in) {
        let help = "Processor time used so far, the kernel's part included.";
        page.counter("process_cpu_seconds_total", help).value(ticks / TICKS_PER_SECOND);
    }
    if let Some(status) = read("status") {
        let families = [
            ("process_resident_memory_bytes", "VmRSS:", "Memory held."),
            ("process_virtual_memory_bytes", "VmSize:", "Addresses held, most of them without memory."),
        ];
        for (name, word, help) in families {
            if let Some(kib) = number_after(&status, word) {
                page.gauge(name, help).value(kib.saturating_mul(1024));
            }
        }
    }
    // One of them is the folder that is being read.
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open files and connections.").value(open.count().saturating_sub(1));
    }
    if let Some(most) = read("limits").as_deref().and_then(|limits| number_after(limits, "Max open files")) {
        page.gauge("process_max_fds", "So many files and connections may be open.").value(most);
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// The fourteenth and fifteenth field; the second one is a name in brackets, which may hold anything.
fn ticks_in(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> = rest.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum())
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let stat = "123 (a ) b) S 1 123 123 0 -1 4194560 1000 0 5 0 250 50 0 0 20 0 4 0 1000 1 1";
        assert_eq!(ticks_in(stat), Some(300.0));
        assert_eq!(ticks_in("123 (a"), None);
        assert_eq!(number_after("VmPeak:\t 9 kB\nVmRSS:\t    5120 kB\n", "VmRSS:"), Some(5120));
        let limits = "Limit      Soft Limit  Hard Limit  Units\nMax open files    1024   4096  files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(number_after("Max open files  unlimited unlimited files", "Max open files"), None);
    }

    #[test]
    fn this_process_tells_all_of_it() {
        let mut page = Page::default();
        render(&mut page, Timestamp::now());
        let text = page.into_text();
        assert_eq!(text.matches("# TYPE process_").count(), 6, "{text}");
    }
}
