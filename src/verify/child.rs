//! Programs that verify starts: their output line by line, and their end when the user has had enough.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Whether Ctrl-C, or a signal to end, has come.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The programs that end with it. Each leads a process group of its own, so that a terminal's Ctrl-C reaches dfopt alone and
/// what cleans up afterwards is let finish.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// From here on Ctrl-C ends the running program, and [`interrupted`] says so. Once a process.
///
/// # Errors
/// When the handler cannot be set.
pub fn heed_signals() -> Result<(), String> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        for pid in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            end(*pid);
        }
    })
    .map_err(|e| format!("signals cannot be heeded: {e}"))
}

/// Whether the user has had enough.
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

#[cfg(unix)]
fn end(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(pid, Signal::TERM);
    }
}

#[cfg(not(unix))]
fn end(_: u32) {}

/// A started program, which ends with Ctrl-C or when this is dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts `command`, with nothing on its standard input.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Running> {
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let child = command.stdin(Stdio::null()).spawn()?;
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(child.id());
        // The signal may have come before the child was known.
        if interrupted() {
            end(child.id());
        }
        Ok(Running { child })
    }

    /// Its standard output, if that is a pipe and was not taken before.
    pub fn stdout(&mut self) -> Option<impl Read + use<>> {
        self.child.stdout.take()
    }

    /// Waits for its end, and shows each line of its standard error to `see`.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(mut self, see: &mut dyn FnMut(&str)) -> io::Result<ExitStatus> {
        if let Some(stderr) = self.child.stderr.take() {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line)? > 0 {
                see(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        }
        self.child.wait()
    }

    /// Its exit status if it ends within `limit`; else it is ended.
    fn wait_within(mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if start.elapsed() > limit {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.child.id());
        if let Ok(None) = self.child.try_wait() {
            end(self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// What a short program printed.
pub struct Output {
    pub ok: bool,
    /// None: ended by a signal, or at its time limit.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs a program to its end and keeps what it prints.
///
/// # Errors
/// When the program cannot be started.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let reader = running.stdout().map(|mut out| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = out.read_to_end(&mut bytes);
            bytes
        })
    });
    let mut stderr = String::new();
    let status = running.wait(&mut |line| {
        stderr.push_str(line);
        stderr.push('\n');
    })?;
    let stdout = reader.and_then(|r| r.join().ok()).unwrap_or_default();
    Ok(Output { ok: status.success(), code: status.code(), stdout, stderr })
}

/// As [`output`], for at most `limit`; both streams go to a file each, since a program that is ended may leave children that
/// hold its pipes open.
///
/// # Errors
/// When the program cannot be started, or its output not be kept.
pub fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let (out, err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let running = Running::start(command.stdout(out.try_clone()?).stderr(err.try_clone()?))?;
    let status = running.wait_within(limit)?;
    let read = |mut file: std::fs::File| -> io::Result<Vec<u8>> {
        use io::Seek;
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let stderr = String::from_utf8_lossy(&read(err)?).into_owned();
    Ok(Output {
        ok: status.is_some_and(|s| s.success()),
        code: status.and_then(|s| s.code()),
        stdout: read(out)?,
        stderr,
    })
}

/// Runs a program that cleans up: Ctrl-C does not reach it, and nobody asks how it went.
pub fn clean(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
