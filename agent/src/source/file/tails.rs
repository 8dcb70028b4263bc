//! All files that are followed: found by identity and by path, looked at in the order of their times.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    identity::FileId,
    tail::{Awake, Tail},
    watch::PathKey,
};

/// Pauses from this on end together for many files, so that idle ones share a wake-up.
const SHARED_PAUSE: Duration = Duration::from_secs(4);
/// Into how many parts a shared pause is cut.
const SHARES: u32 = 4;

/// The files that are followed.
#[derive(Debug)]
pub struct Tails {
    slots: Vec<Option<Tail>>,
    free: Vec<Slot>,
    by_id: HashMap<FileId, Slot>,
    by_path: HashMap<PathKey, Slot>,
    by_look: BTreeSet<(Instant, Slot)>,
    /// Those that the globs do not lead to any more.
    absent: BTreeSet<Slot>,
    /// How many are open.
    open: usize,
    began: Instant,
}

/// Names a file until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Tails {
    /// Holds none.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_path: HashMap::new(),
            by_look: BTreeSet::new(),
            absent: BTreeSet::new(),
            open: 0,
            began: Instant::now(),
        }
    }

    /// Follows one more file, or another generation of one that was removed.
    pub fn insert(&mut self, tail: Tail) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        self.by_id.insert(tail.id(), slot);
        self.by_path.insert(PathKey::of(tail.path()), slot);
        self.by_look.insert((tail.next_look(), slot));
        if !tail.is_present() {
            self.absent.insert(slot);
        }
        self.open += usize::from(tail.is_open());
        self.slots[slot.0 as usize] = Some(tail);
        slot
    }

    /// Follows a file no more.
    pub fn remove(&mut self, slot: Slot) -> Option<Tail> {
        let tail = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.by_id.remove(&tail.id());
        self.unname(&tail, slot);
        self.by_look.remove(&(tail.next_look(), slot));
        self.absent.remove(&slot);
        self.open -= usize::from(tail.is_open());
        self.free.push(slot);
        Some(tail)
    }

    /// A file.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Tail> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// A file, for everything that does not change when it is looked at or where it is.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Tail> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Tail)> {
        (0..).map(Slot).zip(&self.slots).filter_map(|(slot, tail)| Some((slot, tail.as_ref()?)))
    }

    /// Where a file of that identity is.
    #[must_use]
    pub fn by_id(&self, id: FileId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// The file that was last seen at a path.
    #[must_use]
    pub fn by_path(&self, path: PathKey) -> Option<Slot> {
        self.by_path.get(&path).copied()
    }

    /// The file is at another path now.
    pub fn set_path(&mut self, slot: Slot, path: &Path) {
        let Some(mut tail) = self.slots.get_mut(slot.0 as usize).and_then(Option::take) else { return };
        self.unname(&tail, slot);
        tail.set_path(Arc::from(path));
        self.by_path.insert(PathKey::of(path), slot);
        self.slots[slot.0 as usize] = Some(tail);
    }

    /// How many files are open.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// The file is open from now on.
    pub fn wake(&mut self, slot: Slot, awake: Awake) {
        if let Some(tail) = self.get_mut(slot) {
            let was_open = tail.is_open();
            tail.wake(awake);
            self.open += usize::from(!was_open);
        }
    }

    /// Closes a file that goes on being followed. What it had is given back.
    pub fn sleep(&mut self, slot: Slot) -> Option<Awake> {
        let awake = self.get_mut(slot)?.sleep()?;
        self.open -= 1;
        Some(awake)
    }

    /// Notes whether the globs lead to the file. One that has just gone is looked at once more.
    pub fn set_present(&mut self, slot: Slot, is_present: bool) {
        let Some(tail) = self.get_mut(slot) else { return };
        let was_present = tail.is_present();
        tail.set_present(is_present);
        if is_present {
            self.absent.remove(&slot);
        } else {
            self.absent.insert(slot);
            if was_present {
                self.look_now(slot);
            }
        }
    }

    /// Those that the globs do not lead to any more.
    #[must_use]
    pub const fn absent(&self) -> &BTreeSet<Slot> {
        &self.absent
    }

    /// Looks at the file at the next occasion, since something may have changed.
    pub fn look_now(&mut self, slot: Slot) {
        let now = Instant::now();
        let Some(tail) = self.get_mut(slot) else { return };
        tail.distrust();
        if tail.next_look() > now {
            self.look_at(slot, now);
        }
    }

    /// The kernel told that the file at that path has grown.
    pub fn grown(&mut self, path: PathKey) {
        if let Some(slot) = self.by_path(path) {
            self.look_now(slot);
        }
    }

    /// Looks at all files at the next occasion.
    pub fn look_at_all(&mut self) {
        for slot in (0..).map(Slot).take(self.slots.len()) {
            self.look_now(slot);
        }
    }

    /// Looks at the file again after a pause that grows from `shortest` to `longest` while nothing comes.
    pub fn rest(&mut self, slot: Slot, shortest: Duration, longest: Duration) {
        let Some(tail) = self.get_mut(slot) else { return };
        let pause = tail.rest(shortest, longest);
        let when = if pause < SHARED_PAUSE {
            Instant::now() + pause
        } else {
            // Files that were found together would be looked at together for ever, so they are spread as well.
            let share = pause / SHARES;
            let spread = share * (slot.0 % SHARES);
            let since = (self.began.elapsed() + pause - spread / 2).as_millis();
            let shares = u32::try_from(since / share.as_millis().max(1)).unwrap_or(u32::MAX);
            self.began + share * shares.saturating_add(1)
        };
        self.look_at(slot, when);
    }

    /// Looks at the file at that time.
    pub fn look_at(&mut self, slot: Slot, when: Instant) {
        let Some(tail) = self.get_mut(slot) else { return };
        let before = tail.next_look();
        tail.look_at(when);
        self.by_look.remove(&(before, slot));
        self.by_look.insert((when, slot));
    }

    /// When the next file is to be looked at.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        self.by_look.first().map(|(when, _)| *when)
    }

    /// The files that are to be looked at by now, the longest due first.
    #[must_use]
    pub fn due(&self, now: Instant) -> Vec<Slot> {
        self.by_look.iter().take_while(|(when, _)| *when <= now).map(|(_, slot)| *slot).collect()
    }

    fn unname(&mut self, tail: &Tail, slot: Slot) {
        let key = PathKey::of(tail.path());
        // Another file may have taken the place.
        if self.by_path.get(&key) == Some(&slot) {
            self.by_path.remove(&key);
        }
    }
}
