//! The supervisor: runs what a plan says, some at the same time, and ends what is canceled.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use runlog_proto::{ENDED, v1, value::Kind};
use rustix::process::Signal;
use tokio::{
    process::Command,
    select,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    super::caller::{Caller, escaped},
    group::{GRACE, Group},
    plan::{Plan, Trial},
    progress::{Ended, Progress},
};

/// How often it is asked what is canceled.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often it is asked how a run has ended that is not ours, and how many times: its last events may be on their way.
const LOOK: Duration = Duration::from_millis(200);
const LOOKS: usize = 50;

/// Whether another process has worked at the plan before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// None of the runs has begun.
    Never,
    /// Some may have.
    Before,
}

/// What a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing so far.
    Nothing,
    /// What Ctrl-C says.
    Interrupt,
    /// To end.
    End,
}

/// What came of the runs.
#[derive(Debug, Default)]
pub struct Worked {
    /// Of those that have begun.
    pub failed: usize,
    /// Since somebody asked for it.
    pub canceled: usize,
    /// Those that were not begun, since it was to end.
    left: Vec<String>,
    is_interrupted: bool,
}

impl Worked {
    /// Whether all have completed.
    pub const fn is_complete(&self) -> bool {
        self.failed == 0 && self.canceled == 0 && self.left.is_empty() && !self.is_interrupted
    }
}

struct Working<'a> {
    plan: Arc<Plan>,
    caller: &'a Caller,
    socket: Option<PathBuf>,
    waiting: VecDeque<Trial>,
    running: JoinSet<(Trial, Result<Option<i32>>, Duration)>,
    told: HashMap<String, watch::Sender<Told>>,
    progress: Progress,
    worked: Worked,
}

/// Runs all that the plan says, and ends the sweep. Ctrl-C, which the runs hear as well, begins no further ones.
///
/// # Errors
/// If nobody takes what is to be said of the runs.
pub async fn work(plan: &Plan, begun: Begun, caller: &Caller) -> Result<Worked> {
    let socket = plan.socket();
    if begun == Begun::Before {
        // Of a process that was killed. One that cannot be removed is told of below.
        let _ = std::fs::remove_file(&socket);
    }
    let serving = caller.serve(socket).await;
    let mut working = Working {
        plan: Arc::new(plan.clone()),
        caller,
        socket: serving.path(),
        waiting: VecDeque::new(),
        running: JoinSet::new(),
        told: HashMap::new(),
        progress: Progress::new(plan.trials.len(), plan.metric.as_deref(), plan.has_output),
        worked: Worked::default(),
    };
    for trial in &plan.trials {
        if begun == Begun::Never || !working.is_taken_over(trial).await? {
            working.waiting.push_back(trial.clone());
        }
    }
    working.supervise().await?;
    let worked = working.worked;
    drop(working.progress);
    finish(plan, &worked, caller).await?;
    Ok(worked)
}

impl Working<'_> {
    async fn supervise(&mut self) -> Result<()> {
        let mut ask = interval(ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ask.tick().await;
        // Somebody may have canceled what has not begun.
        self.look().await;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        loop {
            while !self.worked.is_interrupted
                && self.running.len() < usize::from(self.plan.parallel)
                && let Some(trial) = self.waiting.pop_front()
            {
                self.start(trial, None);
            }
            if self.running.is_empty() {
                return Ok(());
            }
            let told = select! {
                Some(joined) = self.running.join_next() => {
                    let (trial, code, elapsed) = joined.context("a run was interrupted")?;
                    self.ended(trial, code, elapsed).await?;
                    continue;
                }
                _ = ask.tick() => {
                    self.look().await;
                    continue;
                }
                _ = interrupt.recv() => if self.worked.is_interrupted { Told::End } else { Told::Interrupt },
                _ = terminate.recv() => Told::End,
                _ = hangup.recv() => Told::End,
            };
            self.worked.is_interrupted = true;
            self.worked.left.extend(self.waiting.drain(..).map(|trial| trial.id));
            self.told.values().for_each(|run| _ = run.send_replace(told));
        }
    }

    /// Starts a run, or waits for one that another process has started.
    fn start(&mut self, trial: Trial, group: Option<Group>) {
        let (sender, told) = watch::channel(Told::Nothing);
        self.told.insert(trial.id.clone(), sender);
        let (plan, socket) = (Arc::clone(&self.plan), self.socket.clone());
        self.progress.began();
        // Joined in `supervise`.
        self.running.spawn(async move {
            let since = Instant::now();
            let code = match group {
                None => run(&plan, socket, &trial, told).await.map(Some),
                Some(group) => {
                    until(group, group.gone(), told).await;
                    Ok(None)
                }
            };
            (trial, code, since.elapsed())
        });
    }

    /// Takes over a run that another process has begun. Says whether there is nothing to be begun.
    async fn is_taken_over(&mut self, trial: &Trial) -> Result<bool> {
        if let Some(group) = Group::of_run(&trial.id) {
            self.start(trial.clone(), Some(group));
            return Ok(true);
        }
        let status = self.status(&trial.id).await?;
        if status == "queued" {
            return Ok(false);
        }
        self.progress.began();
        self.ended(trial.clone(), Ok(None), Duration::ZERO).await?;
        Ok(true)
    }

    /// Notes what came of a run.
    async fn ended(&mut self, trial: Trial, code: Result<Option<i32>>, elapsed: Duration) -> Result<()> {
        let was_ended = self.told.remove(&trial.id).is_some_and(|told| *told.borrow() == Told::End);
        let mut remark = format!("; runlog logs {}", trial.id);
        let how = match code {
            Ok(Some(0)) if !was_ended => Ended::Completed,
            Ok(code) => match &self.end_of(&trial.id).await?[..] {
                "canceled" => Ended::Canceled,
                "completed" if code.unwrap_or(0) == 0 => Ended::Completed,
                // Who waits for it would wait for ever.
                "queued" if let Some(code) = code => {
                    let why = format!("it has not begun, runlog exec has ended with {code}; try it with --show-output");
                    self.fail(&trial, why, &mut remark).await?
                }
                status if ENDED.contains(&status) || code.is_some() => Ended::Failed(code),
                _ => {
                    let why = "its process is gone, and has not said how it ended".to_owned();
                    self.fail(&trial, why, &mut remark).await?
                }
            },
            Err(error) => self.fail(&trial, format!("{error:#}"), &mut remark).await?,
        };
        match how {
            Ended::Completed => {}
            Ended::Failed(_) => self.worked.failed += 1,
            Ended::Canceled => self.worked.canceled += 1,
        }
        let value = self.value_of(&trial).await;
        self.progress.ended(trial.shown(), how, elapsed, value, &remark);
        Ok(())
    }

    async fn fail(&self, trial: &Trial, why: String, remark: &mut String) -> Result<Ended> {
        *remark = format!(": {why}");
        let request = v1::EndRunRequest { error_message: why, ..v1::EndRunRequest::default() };
        end(self.caller, &trial.id, "fail", &request).await?;
        Ok(Ended::Failed(None))
    }

    async fn status(&self, id: &str) -> Result<String> {
        self.caller.get(&format!("/runs/{}", escaped(id))).await.map(|run: v1::Run| run.status)
    }

    /// Where a run stands whose process is gone, as soon as that is known.
    async fn end_of(&self, id: &str) -> Result<String> {
        let mut status = self.status(id).await?;
        for _ in 1..LOOKS {
            if ENDED.contains(&&status[..]) {
                break;
            }
            tokio::time::sleep(LOOK).await;
            status = self.status(id).await?;
        }
        Ok(status)
    }

    /// The last number of the metric that is looked for.
    async fn value_of(&self, trial: &Trial) -> Option<(f64, String)> {
        let metric = self.plan.metric.as_ref()?;
        let path = format!("/runs/{}/metrics?name={}", escaped(&trial.id), escaped(metric));
        let mut answer: v1::GetMetricsResponse = self.caller.get(&path).await.ok()?;
        let value = answer.metrics.remove(metric)?.values.pop()?;
        let number = match value.kind.as_ref()? {
            Kind::Number(number) => *number,
            Kind::Integer(number) => *number as f64,
            Kind::Bool(_) | Kind::Text(_) => return None,
        };
        Some((number, value.to_string()))
    }

    /// Asks what is canceled, and ends it. Whoever does not answer now is asked again.
    async fn look(&mut self) {
        self.progress.draw();
        let Ok(canceled) = self.canceled().await else { return };
        if canceled.contains(&self.plan.id) && self.plan.is_sweep() {
            self.worked.left.extend(self.waiting.drain(..).map(|trial| trial.id));
            for id in self.told.keys().filter(|id| !canceled.contains(*id)) {
                // First, so that its end counts as what it is.
                let _ = end(self.caller, id, "cancel", &v1::EndRunRequest::default()).await;
            }
            self.tell_end(|_| true);
            return;
        }
        let before = self.waiting.len();
        self.waiting.retain(|trial| !canceled.contains(&trial.id));
        for _ in self.waiting.len()..before {
            self.worked.canceled += 1;
            self.progress.canceled_before();
        }
        self.tell_end(|id| canceled.contains(id));
    }

    fn tell_end(&self, is_meant: impl Fn(&str) -> bool) {
        for (_, told) in self.told.iter().filter(|(id, _)| is_meant(id)) {
            told.send_if_modified(|told| std::mem::replace(told, Told::End) != Told::End);
        }
    }

    async fn canceled(&self) -> Result<HashSet<String>> {
        let mut canceled = HashSet::new();
        if self.status(&self.plan.id).await? == "canceled" {
            canceled.insert(self.plan.id.clone());
        }
        if self.plan.is_sweep() {
            let path = format!("/runs?status=canceled&limit=10000&parent={}", escaped(&self.plan.id));
            let children: v1::ListRunsResponse = self.caller.get(&path).await?;
            canceled.extend(children.runs.into_iter().map(|run| run.run_id));
        }
        Ok(canceled)
    }
}

/// Ends what is left: the runs that were not begun, and the sweep.
async fn finish(plan: &Plan, worked: &Worked, caller: &Caller) -> Result<()> {
    for left in &worked.left {
        end(caller, left, "cancel", &v1::EndRunRequest::default()).await?;
    }
    if !plan.is_sweep() {
        return Ok(());
    }
    let (how, message) = match worked {
        Worked { is_interrupted: true, .. } => ("cancel", String::new()),
        Worked { failed: 0, canceled: 0, .. } => ("complete", String::new()),
        Worked { failed: 0, canceled, .. } => {
            ("fail", format!("{canceled} of {} runs were canceled", plan.trials.len()))
        }
        Worked { failed, .. } => ("fail", format!("{failed} of {} runs failed", plan.trials.len())),
    };
    end(caller, &plan.id, how, &v1::EndRunRequest { error_message: message, ..Default::default() }).await
}

/// Ends a run, unless somebody else has.
async fn end(caller: &Caller, id: &str, how: &str, request: &v1::EndRunRequest) -> Result<()> {
    let path = format!("/runs/{}", escaped(id));
    let found: v1::Run = caller.get(&path).await?;
    if ENDED.contains(&&found.status[..]) {
        return Ok(());
    }
    caller.post::<v1::RunResponse>(&format!("{path}/{how}"), request).await.map(drop)
}

/// Waits for the end of a group's leader, and passes on what it is told.
async fn until<T>(group: Group, ended: impl Future<Output = T>, mut told: watch::Receiver<Told>) -> T {
    let mut ended = std::pin::pin!(ended);
    loop {
        select! {
            end = &mut ended => return end,
            Ok(()) = told.changed() => {}
        }
        let now = *told.borrow_and_update();
        match now {
            Told::Nothing => {}
            Told::Interrupt => group.tell(Signal::INT),
            Told::End => return group.end(ended, GRACE).await,
        }
    }
}

/// Runs one, and tells its exit code.
async fn run(plan: &Plan, socket: Option<PathBuf>, trial: &Trial, told: watch::Receiver<Told>) -> Result<i32> {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["exec", "--quiet", "--run-id", &trial.id, "--experiment", &plan.experiment, "--"])
        .args(&trial.command)
        .current_dir(&plan.folder)
        .env("RUNLOG_STATE_DIR", &plan.state_dir)
        .stdin(Stdio::null())
        // All that the script starts can be ended then, and nothing else is.
        .process_group(0);
    if let Some(socket) = socket {
        command.env("RUNLOG_SOCKET", socket);
    }
    if !plan.has_output {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let mut child = command.spawn().context("runlog exec cannot be started")?;
    let status = match Group::led_by(child.id()) {
        Some(group) => until(group, child.wait(), told).await,
        // It has ended already.
        None => child.wait().await,
    };
    match status.context("runlog exec cannot be waited for")?.code() {
        // What runlog itself ends with is no end of the script.
        Some(code @ (64 | 74)) => bail!("runlog exec has ended with {code}; try the command with --show-output"),
        code => Ok(code.unwrap_or(1)),
    }
}
