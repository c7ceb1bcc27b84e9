//! A fault of dfopt on one file is reported as that file's error, and the other files go on.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
};

use crate::report::{FileError, INTERNAL};

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes where a panic happens, for [`run`] to tell, instead of printing it.
pub(super) fn install() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("panic");
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        PLACE.with_borrow_mut(|p| *p = Some(format!("{message}{place}")));
    }));
}

/// Runs `work`; what it panics with is an error.
///
/// # Errors
/// An `internal-error` that asks for a report.
pub(super) fn run<T>(work: impl FnOnce() -> T) -> Result<T, FileError> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let noted = PLACE.with_borrow_mut(Option::take);
        let said = || payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let what = noted.or_else(said).unwrap_or_else(|| "panic".into());
        let message = format!(
            "dfopt failed here, which is a fault of dfopt: {what}; please report it with what it was given"
        );
        FileError::new(INTERNAL, message)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_is_an_error_of_the_file() {
        assert_eq!(super::run(|| 1), Ok(1));
        let error = super::run(|| panic!("no such thing")).unwrap_err();
        assert_eq!(error.code, "internal-error");
        assert!(error.message.contains("no such thing"), "{}", error.message);
    }
}
