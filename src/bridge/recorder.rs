//! Where the lines of the audit log go: in order, each by one write, on a thread of its own, so that a disk that hangs
//! holds up nobody for longer than is allowed. What cannot be written is kept for a while and told in readiness.

use std::collections::VecDeque;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

/// So many lines wait for the thread, and so many for a file that cannot be written.
const MOST_WAITING: usize = 1024;

const FULL: &str = "too many lines are waiting to be written";

/// How often what could not be written is tried again while nothing new comes.
const RETRY: Duration = Duration::from_secs(5);

/// `audit.destination`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Off,
    /// Standard error, among the lines of the service's log.
    Log,
    File(PathBuf),
}

impl Destination {
    /// Reads the setting. Another word would be a file of that name somewhere, which nobody looks for.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "log" => Ok(Self::Log),
            path if path.starts_with('/') && !path.ends_with('/') => Ok(Self::File(PathBuf::from(path))),
            other => Err(format!("`{other}` is none of log, off, and a file such as /var/log/x/audit.log")),
        }
    }
}

/// Why a line is not in the audit log.
pub(super) type Reason = String;

/// How recording goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) written: u64,
    /// Lines that nobody will ever see.
    pub(super) lost: u64,
    /// Since when it fails, and why, if it does.
    pub(super) failing: Option<(String, Reason)>,
}

#[derive(Debug)]
pub(super) struct Recorder {
    /// None when nothing is recorded.
    sender: Option<SyncSender<Entry>>,
    standing: Arc<Mutex<Standing>>,
    /// Told when the thread has written everything and ends.
    ended: Mutex<Receiver<()>>,
    patience: Duration,
    now: fn() -> String,
}

struct Entry {
    line: String,
    /// Who waits until it is written; nobody keeps it then if it cannot be.
    told: Option<oneshot::Sender<Result<(), Reason>>>,
}

impl Recorder {
    /// `priority` stands before each line in the log. `synced`: a line counts as written when the disk has it.
    pub(super) fn start(
        destination: &Destination,
        priority: &'static str,
        synced: bool,
        patience: Duration,
        now: fn() -> String,
    ) -> Self {
        let target = match destination {
            Destination::Off => None,
            Destination::Log => Some(Target::Log { priority }),
            Destination::File(path) => Some(Target::File { path: path.clone(), open: None }),
        };
        let standing = Arc::<Mutex<Standing>>::default();
        let (ending, ended) = sync_channel(1);
        let sender = target.map(|target| {
            let (sender, entries) = sync_channel(MOST_WAITING);
            let kept = VecDeque::new();
            let mut writer = Writer { target, synced, kept, standing: Arc::clone(&standing), now };
            writer.look();
            // A thread and no task: the process may end while a disk hangs, and would wait for a task.
            drop(std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
                writer.work(&entries);
                let _ = ending.send(());
            }));
            sender
        });
        Self { sender, standing, ended: Mutex::new(ended), patience, now }
    }

    pub(super) fn is_on(&self) -> bool {
        self.sender.is_some()
    }

    pub(super) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Writes the line, and says whether it is written. Whoever waits for it waits until then and no longer.
    pub(super) async fn record(&self, line: String, until: Instant) -> Result<(), Reason> {
        let Some(sender) = &self.sender else { return Ok(()) };
        let (told, answer) = oneshot::channel();
        sender.try_send(Entry { line, told: Some(told) }).map_err(|_full| FULL.to_owned())?;
        match timeout_at(until.min(Instant::now() + self.patience), answer).await {
            Ok(Ok(written)) => written,
            Ok(Err(_gone)) => Err("the bridge is stopping".to_owned()),
            Err(_elapsed) => {
                let reason = format!("it was not written within {} s", self.patience.as_secs());
                self.hangs(&reason);
                Err(reason)
            }
        }
    }

    /// The thread can tell nothing while it waits for a disk.
    fn hangs(&self, reason: &str) {
        lock(&self.standing).failing.get_or_insert_with(|| ((self.now)(), reason.to_owned()));
    }

    /// Writes the line as soon as that can be done.
    pub(super) fn tell(&self, line: String) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            sender.try_send(Entry { line, told: None })
        {
            lock(&self.standing).lost += 1;
            self.hangs(FULL);
        }
    }
}

impl Drop for Recorder {
    /// What has been told is written before the process ends, unless the disk hangs.
    fn drop(&mut self) {
        if self.sender.take().is_some() {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(self.patience);
        }
    }
}

enum Target {
    Log { priority: &'static str },
    File { path: PathBuf, open: Option<Open> },
}

struct Open {
    file: File,
    /// The last line is not whole: whatever follows begins a new one.
    is_torn: bool,
}

struct Writer {
    target: Target,
    synced: bool,
    /// What could not be written, in its order.
    kept: VecDeque<String>,
    standing: Arc<Mutex<Standing>>,
    now: fn() -> String,
}

impl Writer {
    fn work(&mut self, entries: &Receiver<Entry>) {
        loop {
            match entries.recv_timeout(RETRY) {
                Ok(Entry { line, told }) => self.take(line, told),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whatever waits goes first, so that the order is kept.
    fn take(&mut self, line: String, told: Option<oneshot::Sender<Result<(), Reason>>>) {
        let written = self.write_kept().and_then(|()| self.write(&line));
        let written = self.note(written);
        match (told, &written) {
            // Nobody listens any more who was told already that it took too long.
            (Some(told), _) => drop(told.send(written)),
            (None, Ok(())) => {}
            (None, Err(_)) if self.kept.len() < MOST_WAITING => self.kept.push_back(line),
            (None, Err(_)) => lock(&self.standing).lost += 1,
        }
    }

    /// Tries whether it can be written, where that is in doubt.
    fn look(&mut self) {
        let usable = match &mut self.target {
            Target::Log { .. } => Ok(()),
            Target::File { path, open } => usable(path, open).map(drop),
        };
        drop(self.note_io(usable));
        if !self.kept.is_empty() {
            let written = self.write_kept();
            drop(self.note(written));
        }
    }

    fn write_kept(&mut self) -> Result<(), Reason> {
        while let Some(line) = self.kept.pop_front() {
            if let Err(reason) = self.write(&line) {
                self.kept.push_front(line);
                return Err(reason);
            }
        }
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<(), Reason> {
        let written = match &mut self.target {
            Target::Log { priority } => {
                io::stderr().lock().write_all(format!("{priority}{line}\n").as_bytes())
            }
            Target::File { path, open } => {
                usable(path, open).and_then(|open| append(open, line, self.synced))
            }
        };
        if written.is_ok() {
            lock(&self.standing).written += 1;
        }
        written.map_err(|error| error.to_string())
    }

    fn note_io(&self, outcome: io::Result<()>) -> Result<(), Reason> {
        self.note(outcome.map_err(|error| error.to_string()))
    }

    /// Tells the log when this has changed.
    fn note(&self, outcome: Result<(), Reason>) -> Result<(), Reason> {
        let destination = match &self.target {
            Target::Log { .. } => "log".to_owned(),
            Target::File { path, .. } => path.display().to_string(),
        };
        let mut standing = lock(&self.standing);
        match (&outcome, &standing.failing) {
            (Ok(()), Some(_)) => {
                standing.failing = None;
                info!(destination, lost = standing.lost, "the audit log can be written again");
            }
            (Err(reason), before) => {
                if before.is_none() {
                    error!(destination, reason, "the audit log cannot be written (audit.destination)");
                }
                let since = before.as_ref().map_or_else(self.now, |(since, _)| since.clone());
                standing.failing = Some((since, reason.clone()));
            }
            (Ok(()), None) => {}
        }
        outcome
    }
}

/// The file that the path names now. A line in one that was moved away or deleted would be looked for in vain, and a
/// rotation needs no signal this way.
fn usable<'a>(path: &Path, open: &'a mut Option<Open>) -> io::Result<&'a mut Open> {
    let is_there = |open: &Open| Some(same_file(&open.file.metadata().ok()?, &path.metadata().ok()?));
    if !open.as_ref().and_then(is_there).unwrap_or(false) {
        *open = None;
        *open = Some(self::open(path)?);
    }
    open.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn open(path: &Path) -> io::Result<Open> {
    let options = |options: &mut OpenOptions| options.read(true).append(true).mode(0o600).open(path);
    let file = match options(OpenOptions::new().create_new(true)) {
        Ok(file) => {
            let folder = path.parent().map(Path::metadata).transpose()?;
            if let Some(folder) =
                folder.filter(|folder| file.metadata().is_ok_and(|m| m.uid() != folder.uid()))
            {
                // A command that root runs must not make a file that the service then cannot write. Nobody but root can
                // give files away, and nobody else has to.
                drop(fchown(&file, Some(folder.uid()), Some(folder.gid())));
            }
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options(&mut OpenOptions::new())?,
        Err(error) => return Err(error),
    };
    let length = file.metadata().map(|file| if file.is_file() { file.len() } else { 0 })?;
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(Open { file, is_torn: last != [b'\n'] })
}

/// One write, so that lines of two processes never mix.
fn append(open: &mut Open, line: &str, synced: bool) -> io::Result<()> {
    let text = if open.is_torn { format!("\n{line}\n") } else { format!("{line}\n") };
    let written = open.file.write(text.as_bytes())?;
    if written < text.len() {
        open.is_torn = true;
        return Err(io::Error::new(io::ErrorKind::StorageFull, "only a part of the line could be written"));
    }
    open.is_torn = false;
    if synced && open.file.metadata()?.is_file() { open.file.sync_data() } else { Ok(()) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("audit-{}-{number}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("audit.log")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    fn recorder(path: &Path) -> Recorder {
        let patience = Duration::from_secs(20);
        Recorder::start(&Destination::File(path.to_owned()), "", true, patience, || "now".to_owned())
    }

    async fn record(recorder: &Recorder, line: &str) -> Result<(), Reason> {
        recorder.record(line.to_owned(), Instant::now() + Duration::from_secs(20)).await
    }

    #[test]
    fn a_destination_is_two_words_or_a_file() {
        assert_eq!(Destination::parse("off"), Ok(Destination::Off));
        assert_eq!(Destination::parse("log"), Ok(Destination::Log));
        assert_eq!(Destination::parse("/a/b"), Ok(Destination::File("/a/b".into())));
        for wrong in ["", "journal", "audit.log", "./a", "/a/"] {
            assert!(Destination::parse(wrong).unwrap_err().contains("none of"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn lines_follow_the_path_whatever_becomes_of_the_file() {
        let folder = Folder::new();
        let (path, moved) = (folder.file(), folder.0.join("audit.log.1"));
        let recorder = recorder(&path);
        record(&recorder, "one").await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::rename(&path, &moved).unwrap();
        record(&recorder, "two").await.unwrap();
        fs::remove_file(&path).unwrap();
        record(&recorder, "three").await.unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        // Emptied in place, and with a line that somebody's crash has torn.
        fs::write(&path, "").unwrap();
        record(&recorder, "four").await.unwrap();
        drop(recorder);
        fs::write(&path, "{\"torn\":").unwrap();
        let recorder = self::recorder(&path);
        record(&recorder, "five").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"torn\":\nfive\n");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_refused_or_kept_in_order() {
        let folder = Folder::new();
        let path = folder.0.join("gone").join("audit.log");
        let recorder = recorder(&path);
        assert!(recorder.standing().failing.is_some());
        assert!(record(&recorder, "refused").await.is_err());
        for line in ["one", "two"] {
            recorder.tell(line.to_owned());
        }
        assert!(record(&recorder, "refused").await.is_err());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        record(&recorder, "three").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        let Standing { written, lost, failing } = recorder.standing();
        assert_eq!((written, lost, failing), (3, 0, None));
    }

    #[tokio::test]
    async fn a_full_disk_is_noticed() {
        let recorder = recorder(Path::new("/dev/full"));
        let reason = record(&recorder, "one").await.unwrap_err();
        assert!(reason.contains("No space left"), "{reason}");
        for _ in 0..MOST_WAITING + 10 {
            while recorder.sender.as_ref().unwrap().try_send(Entry { line: "x".into(), told: None }).is_err()
            {
                std::thread::yield_now();
            }
        }
        // Written behind all of them, it shows that they have been tried.
        while record(&recorder, "two").await.unwrap_err() == FULL {
            std::thread::yield_now();
        }
        assert_eq!(recorder.standing().lost, 10);
    }
}
