//! What is told of runs while they are under way: a line for each that has ended and, on a terminal, one that says how
//! all are doing and is drawn again and again.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use rustix::termios::tcgetwinsize;

use super::super::table::duration;

/// Columns of a terminal that does not say how wide it is.
const WIDTH: usize = 80;

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// In lines alone.
    Lines,
    /// With a last line that is drawn again, so wide at most.
    Drawn { width: usize },
}

/// The value of a metric that is the smallest so far.
struct Best {
    number: f64,
    /// As it is read, with the run that has it.
    shown: String,
}

/// How the runs are doing.
pub struct Progress {
    out: Box<dyn Write + Send>,
    look: Look,
    metric: Option<String>,
    count: usize,
    running: usize,
    /// How many have ended in each way.
    completed: usize,
    failed: usize,
    canceled: usize,
    best: Option<Best>,
    since: Instant,
    is_drawn: bool,
}

/// How a run has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Completed,
    /// With that exit code, if it is known.
    Failed(Option<i32>),
    /// Since somebody wanted it to.
    Canceled,
}

impl Progress {
    /// Tells on stderr of so many runs, of which the smallest value of that metric is the best. What the runs print
    /// themselves would go through a line that is drawn.
    pub fn new(count: usize, metric: Option<&str>, shows_output: bool) -> Self {
        let stderr = io::stderr();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let look = if !stderr.is_terminal() || is_dumb || shows_output {
            Look::Lines
        } else {
            let columns = tcgetwinsize(&stderr).map_or(0, |size| usize::from(size.ws_col));
            Look::Drawn { width: if columns == 0 { WIDTH } else { columns } }
        };
        Self::on(Box::new(stderr), look, count, metric)
    }

    fn on(out: Box<dyn Write + Send>, look: Look, count: usize, metric: Option<&str>) -> Self {
        let (metric, since) = (metric.map(str::to_owned), Instant::now());
        Self {
            out,
            look,
            metric,
            count,
            running: 0,
            completed: 0,
            failed: 0,
            canceled: 0,
            best: None,
            since,
            is_drawn: false,
        }
    }

    /// Notes that one begins.
    pub fn began(&mut self) {
        self.running += 1;
        self.draw();
    }

    /// Tells that a run that was under way has ended, with the last value of the metric; of one that failed also what
    /// to do about it.
    pub fn ended(&mut self, name: &str, how: Ended, elapsed: Duration, value: Option<(f64, String)>, remark: &str) {
        self.running = self.running.saturating_sub(1);
        let remark = if matches!(how, Ended::Failed(_)) { remark } else { "" };
        let how = match how {
            Ended::Completed => {
                self.completed += 1;
                "completed".to_owned()
            }
            Ended::Failed(code) => {
                self.failed += 1;
                code.map_or_else(|| "failed".to_owned(), |code| format!("failed ({code})"))
            }
            Ended::Canceled => {
                self.canceled += 1;
                "canceled".to_owned()
            }
        };
        let mut line = format!("{}/{} {name} {how} in {}", self.all_ended(), self.count, shown(elapsed));
        if let (Some(metric), Some((number, text))) = (&self.metric, value) {
            line += &format!(", {metric} {text}");
            if self.best.as_ref().is_none_or(|best| number < best.number) {
                self.best = Some(Best { number, shown: format!("{text} ({name})") });
            }
        }
        self.clear();
        self.say(&format!("runlog: {line}{remark}\n"));
        self.draw();
    }

    /// Notes that one is canceled before it began.
    pub fn canceled_before(&mut self) {
        self.canceled += 1;
        self.draw();
    }

    /// Draws how all are doing, where that is done.
    pub fn draw(&mut self) {
        let Look::Drawn { width } = self.look else { return };
        // A line that goes on in the next one could not be drawn over.
        let line: String = self.line().chars().take(width.saturating_sub(1)).collect();
        self.say(&format!("\r\x1b[K{line}"));
        self.is_drawn = true;
    }

    /// Takes away what is drawn.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            self.say("\r\x1b[K");
        }
    }

    const fn all_ended(&self) -> usize {
        self.completed + self.failed + self.canceled
    }

    fn line(&self) -> String {
        let waiting = self.count.saturating_sub(self.all_ended() + self.running);
        let mut line = format!("runlog: {}/{} done", self.all_ended(), self.count);
        for (number, what) in
            [(self.failed, "failed"), (self.canceled, "canceled"), (self.running, "running"), (waiting, "waiting")]
        {
            if number > 0 {
                line += &format!(", {number} {what}");
            }
        }
        if let (Some(metric), Some(best)) = (&self.metric, &self.best) {
            line += &format!(" · best {metric} {}", best.shown);
        }
        line + &format!(" · {}", shown(self.since.elapsed()))
    }

    fn say(&mut self, text: &str) {
        // Whoever has closed stderr does not want to know.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn shown(elapsed: Duration) -> String {
    duration(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(look: Look, tell: impl FnOnce(&mut Progress)) -> String {
        let screen = Screen::default();
        let mut progress = Progress::on(Box::new(screen.clone()), look, 4, Some("mse"));
        tell(&mut progress);
        drop(progress);
        String::from_utf8(screen.0.lock().unwrap().clone()).unwrap()
    }

    fn three_end(progress: &mut Progress) {
        progress.began();
        progress.began();
        let value = |number: f64| Some((number, number.to_string()));
        progress.ended("alpha=0.1", Ended::Completed, Duration::from_secs(2), value(2.5), "; runlog logs 1");
        progress.ended("alpha=0.2", Ended::Failed(Some(3)), Duration::from_secs(1), None, "; runlog logs 2");
        progress.began();
        progress.ended("alpha=0.3", Ended::Completed, Duration::from_secs(1), value(7.0), "; runlog logs 3");
    }

    #[test]
    fn a_file_gets_a_line_for_each_run_that_has_ended() {
        let lines = "runlog: 1/4 alpha=0.1 completed in 2s, mse 2.5\nrunlog: 2/4 alpha=0.2 failed (3) in 1s; runlog logs 2\n\
                     runlog: 3/4 alpha=0.3 completed in 1s, mse 7\n";
        assert_eq!(told(Look::Lines, three_end), lines);
    }

    #[test]
    fn a_terminal_has_one_line_more_that_counts_all_and_names_the_best_and_is_gone_at_the_end() {
        let screen = told(Look::Drawn { width: 200 }, |progress| {
            three_end(progress);
            progress.canceled_before();
        });
        let drawn: Vec<_> = screen.split("\r\x1b[K").filter(|line| line.contains(" done")).collect();
        assert!(drawn[0].starts_with("runlog: 0/4 done, 1 running, 3 waiting · "), "{drawn:?}");
        let last = drawn.last().unwrap();
        assert!(last.starts_with("runlog: 4/4 done, 1 failed, 1 canceled · best mse 2.5 (alpha=0.1) · "), "{last}");
        assert!(screen.ends_with("\r\x1b[K"), "{screen:?}");
        assert!(drawn.iter().all(|line| !line.contains('\n')), "{drawn:?}");
    }

    #[test]
    fn what_is_drawn_is_no_wider_than_the_terminal() {
        let screen = told(Look::Drawn { width: 12 }, Progress::began);
        assert_eq!(screen, "\r\x1b[Krunlog: 0/4\r\x1b[K");
    }
}
