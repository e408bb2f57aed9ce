//! The sessions that this process has open, so that a freeze ends those of others only.
//!
//! By server process, not by `application_name`, which anybody may set. Programs that we start have sessions that we
//! cannot number; they carry a name that nobody can guess. Tested in `tests/freeze.rs`.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::pooler::Backend;

static OPEN: Mutex<BTreeSet<Backend>> = Mutex::new(BTreeSet::new());

/// One that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Own(Backend);

impl Own {
    pub(crate) fn of(backend: Backend) -> Self {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).insert(backend);
        Self(backend)
    }

    /// When its server was started.
    pub(crate) fn server_since(&self) -> i64 {
        self.0.server_since
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// The processes of our sessions with the server that was started then: ids, and when each was started.
pub(crate) fn sessions(server_since: i64) -> (Vec<i32>, Vec<i64>) {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.iter()
        .filter(|backend| backend.server_since == server_since)
        .map(|backend| (backend.pid, backend.since))
        .unzip()
}

/// The `application_name` of programs that we start: `pgferry ` and 32 random hex digits, drawn once a process. `None`
/// where the machine gives no random numbers; they count as foreign then.
pub(crate) fn program_name() -> Option<&'static str> {
    static NAME: LazyLock<Option<String>> = LazyLock::new(|| {
        let mut bytes = [0_u8; 16];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .ok()?;
        Some(format!("pgferry {:032x}", u128::from_be_bytes(bytes)))
    });
    NAME.as_deref()
}
