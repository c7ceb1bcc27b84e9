//! Which SHELL lines name a shell whose text can be read.

/// The grammar that a shell text is read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// sh, ash, dash. What bash as `/bin/sh` would read otherwise than dash is refused.
    Posix,
    Bash,
}

/// A shell and the options that its SHELL line gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShellKind {
    pub dialect: Dialect,
    /// `-e`
    pub errexit: bool,
    /// `-u`
    pub nounset: bool,
    /// `-o pipefail`
    pub pipefail: bool,
    /// `-x`
    pub xtrace: bool,
}

/// The shell of a SHELL line (`["/bin/bash", "-eo", "pipefail", "-c"]`): sh, ash, dash, bash or `busybox sh`, bare
/// or by absolute path, with the flags -e -u -x -c and `-o` errexit, nounset, xtrace or pipefail. `None` for any
/// other shell or flag, and when `-c` does not come last, as the text would not be what the shell runs then.
#[must_use]
pub fn shell_kind(argv: &[String]) -> Option<ShellKind> {
    let (program, mut args) = argv.split_first()?;
    let mut name = match program.rsplit_once('/') {
        Some((_, name)) if program.starts_with('/') => name,
        Some(_) => return None,
        None => program.as_str(),
    };
    if name == "busybox" {
        (name, args) = match args.split_first()? {
            (applet, rest) if applet == "sh" || applet == "ash" => (applet.as_str(), rest),
            _ => return None,
        };
    }
    let dialect = match name {
        "sh" | "ash" | "dash" => Dialect::Posix,
        "bash" => Dialect::Bash,
        _ => return None,
    };
    let mut kind = ShellKind { dialect, errexit: false, nounset: false, pipefail: false, xtrace: false };
    let mut command = false;
    let mut args = args.iter();
    while let Some(flags) = args.next() {
        command = false;
        let letters = flags.strip_prefix('-').filter(|l| !l.is_empty())?;
        let mut options = 0;
        for letter in letters.chars() {
            match letter {
                'c' => command = true,
                'e' => kind.errexit = true,
                'u' => kind.nounset = true,
                'x' => kind.xtrace = true,
                'o' => options += 1,
                _ => return None,
            }
        }
        for _ in 0..options {
            match args.next()?.as_str() {
                "pipefail" => kind.pipefail = true,
                "errexit" => kind.errexit = true,
                "nounset" => kind.nounset = true,
                "xtrace" => kind.xtrace = true,
                _ => return None,
            }
        }
    }
    command.then_some(kind)
}
