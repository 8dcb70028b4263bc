//! The processes of one run: `runlog exec` leads their group, and what the script starts is in it.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};

/// How long a script may take to end when it is told to.
pub const GRACE: Duration = Duration::from_secs(10);

/// How often it is looked which processes are there.
const LOOK: Duration = Duration::from_millis(200);

/// A group of processes, by its leader.
#[derive(Debug, Clone, Copy)]
pub struct Group(Pid);

impl Group {
    /// That of a process that was started to lead one.
    pub fn led_by(id: Option<u32>) -> Option<Self> {
        Pid::from_raw(i32::try_from(id?).ok()?).map(Self)
    }

    /// That of a run which another process has started, if it is there still.
    pub fn of_run(run: &str) -> Option<Self> {
        processes().find(|pid| is_exec_of(*pid, run)).map(Self)
    }

    /// Sends a signal to all but the leader, which reads what they say to the end.
    pub fn tell(self, signal: Signal) {
        self.others().for_each(|pid| send(pid, signal));
    }

    fn others(self) -> impl Iterator<Item = Pid> {
        processes().filter(move |pid| *pid != self.0 && is_member(*pid, self.0))
    }

    /// Has all of them end: SIGTERM, and SIGKILL to those that are there after the grace. `ended` is the leader's end.
    pub async fn end<T>(self, ended: impl Future<Output = T>, grace: Duration) -> T {
        let mut ended = std::pin::pin!(ended);
        let deadline = Instant::now() + grace;
        let mut told = HashSet::new();
        let in_time = loop {
            // Each once. Who is canceled at its start has not started its script yet.
            self.others().filter(|pid| told.insert(*pid)).for_each(|pid| send(pid, Signal::TERM));
            let rest = deadline.saturating_duration_since(Instant::now());
            if let Ok(end) = timeout(LOOK.min(rest), &mut ended).await {
                break Some(end);
            }
            if rest.is_zero() {
                break None;
            }
        };
        // Also what has let go of the script's output, and so held up nobody.
        self.tell(Signal::KILL);
        if let Some(end) = in_time {
            return end;
        }
        if let Ok(end) = timeout(grace, &mut ended).await {
            return end;
        }
        let _ = kill_process(self.0, Signal::KILL);
        ended.await
    }

    /// Waits until the leader has ended.
    pub async fn gone(self) {
        while status(self.0).is_some() {
            sleep(LOOK).await;
        }
    }
}

fn send(pid: Pid, signal: Signal) {
    // One that has just ended needs no signal.
    let _ = kill_process(pid, signal);
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn is_member(pid: Pid, leader: Pid) -> bool {
    status(pid) == Some(leader.as_raw_nonzero().get())
}

/// The group of a process that has not ended.
fn status(pid: Pid) -> Option<i32> {
    let text = fs::read_to_string(Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("stat")).ok()?;
    // The name stands in parentheses, and may hold anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let (state, _parent, group) = (fields.next()?, fields.next()?, fields.next()?);
    if matches!(state, "Z" | "X") { None } else { group.parse().ok() }
}

fn is_exec_of(pid: Pid, run: &str) -> bool {
    let path = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join("cmdline");
    let Ok(line) = fs::read(path) else { return false };
    let words: Vec<_> = line.split(|byte| *byte == 0).collect();
    words.get(1) == Some(&b"exec".as_slice())
        && words.windows(2).take(6).any(|pair| pair == [b"--run-id".as_slice(), run.as_bytes()])
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::process::{CommandExt, ExitStatusExt},
        process::{Command, Stdio},
    };

    use super::*;

    #[tokio::test]
    async fn what_a_leader_starts_after_its_group_was_told_to_end_is_told_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        // The shell says by what it was ended: a trap of its own would have to be there before it is told.
        let script = "read go; sleep 1000; echo $? > $0; cat";
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", script]).arg(&told).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let group = Group::led_by(Some(child.id())).unwrap();
        let leader = tokio::task::spawn_blocking(move || child.wait().unwrap());
        let begin = async {
            // The group is told first: there is only its leader then.
            stdin.write_all(b"go\n").unwrap();
            drop(stdin);
        };
        let (status, ()) = tokio::join!(biased; group.end(leader, GRACE), begin);
        assert_eq!((status.unwrap().code(), fs::read_to_string(told).unwrap()), (Some(0), "143\n".to_owned()));
    }

    #[tokio::test]
    async fn all_of_a_group_end_whether_or_not_they_listen_and_the_leader_by_itself() {
        for listens in ["", "trap '' TERM; "] {
            // The leader goes on when its script has ended, as `runlog exec` does.
            let mut child = Command::new("sh");
            child.args(["-c", &format!("{listens}sleep 1000 & echo begun; sleep 1000; cat")]);
            let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
            let group = Group::led_by(Some(child.id())).unwrap();
            let leader = tokio::task::spawn_blocking(move || child.wait().unwrap());
            let grace = if listens.is_empty() { GRACE } else { Duration::from_secs(2) };
            let status = group.end(leader, grace).await.unwrap();
            assert_eq!((status.signal(), status.code()), (None, Some(0)), "{listens}");
            assert_eq!(processes().filter(|pid| is_member(*pid, group.0)).count(), 0, "{listens}");
        }
    }
}
