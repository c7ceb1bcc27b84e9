//! The catalogues: dated facts about base images, commands, package managers, distroless images and user creation.
//!
//! The facts are data, in `knowledge/*.yaml`; each entry says where it was read and when. The build turns each into a
//! JSON document; a catalogue is parsed when it is first asked for, so a run that needs one does not pay for the others.

pub mod commands;
pub mod images;
mod sed;
pub mod signals;
pub mod table;
pub mod tables;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

pub use commands::{Class, CommandFacts, Paths};
pub use images::{Dir, Family, Group, Image, Libc, User};
pub use signals::Signals;
pub use tables::{
    Compiler, Distroless, DistrolessImage, Dynamic, PackageManager, Runtime, Swap, UserCreation,
};

use images::{Entry, Images, Mirror, System, Word};

/// A catalogue that the program carries, by the name of its file: each is a document of its own, so that none is read in vain.
macro_rules! builtin {
    ($name:literal, $shape:ty) => {
        parse::<$shape>(include_str!(concat!(env!("OUT_DIR"), "/", $name, ".json")))
    };
}

/// The entries below a key of a catalogue that the program carries; the build script says which are taken apart.
macro_rules! entries {
    ($name:literal, $key:literal) => {{
        use $crate::knowledge::table::{Carried, Table};
        static CARRIED: Carried = include!(concat!(env!("OUT_DIR"), "/", $name, "-", $key, ".rs"));
        Table::from(&CARRIED)
    }};
}
pub(crate) use entries;

/// All catalogues, those of the program or with a user's laid over them.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    images: OnceLock<Images>,
    commands: OnceLock<commands::Commands>,
    package_managers: OnceLock<BTreeMap<String, PackageManager>>,
    distroless: OnceLock<Distroless>,
    users: OnceLock<tables::Users>,
    signals: OnceLock<Signals>,
    found: Found,
}

/// The images that were asked for, by reference: a file is planned in several versions that name the same ones.
#[derive(Debug, Default)]
struct Found(Mutex<BTreeMap<String, Option<Arc<Image>>>>);

impl Clone for Found {
    /// Nothing is kept, for a clone gets other facts laid over it.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Knowledge {
    /// The catalogues that the program carries.
    pub fn builtin() -> &'static Knowledge {
        static BUILTIN: LazyLock<Knowledge> = LazyLock::new(Knowledge::default);
        &BUILTIN
    }

    /// These catalogues with a user's facts over them: `text` is YAML with any of the keys `images`, `mirrors`,
    /// `words`, `systems`, `commands`, `package_managers` and `distroless`, each shaped as in the catalogue of that
    /// name. An entry replaces the one of its name; `words` are asked before the program's; `distroless` replaces all.
    ///
    /// The error is `file:line: message`.
    pub fn with_overlay(&self, text: &str, file: &str) -> Result<Knowledge, String> {
        let at = |e: serde_yaml::Error| {
            let message = e.to_string();
            let message = message.split(" at line ").next().unwrap_or(&message);
            format!("{file}:{}: {message}", e.location().map_or(1, |l| l.line()))
        };
        let overlay: Overlay = serde_yaml::from_str(text).map_err(at)?;
        let out = self.clone();
        let images = self.images().with(overlay.images, overlay.mirrors, overlay.words, overlay.systems);
        let images = images.map_err(|e| format!("{file}:{}: {e}", line_of(text, &e)))?;
        let mut all = self.package_managers().clone();
        all.extend(overlay.package_managers);
        let out = Knowledge {
            images: OnceLock::from(images),
            commands: OnceLock::from(self.commands().with(overlay.commands)),
            package_managers: OnceLock::from(all),
            ..out
        };
        Ok(match overlay.distroless {
            Some(distroless) => Knowledge { distroless: OnceLock::from(distroless), ..out },
            None => out,
        })
    }

    /// What is known of the image that `reference` names (the word after FROM, variables resolved). A tag wins over the
    /// digest beside it; no tag is `latest`; of a digest alone only what all tags have in common is told. None: the
    /// repository is not in the catalogue.
    pub fn image(&self, reference: &str) -> Option<Arc<Image>> {
        let mut found = self.found.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = found.get(reference) {
            return image.clone();
        }
        let images = self.images();
        let image = images.lookup(reference);
        let image =
            image.or_else(|| self.distroless().image(reference, |name| images.canonical(name))).map(Arc::new);
        found.insert(reference.to_owned(), image.clone());
        image
    }

    /// The class of a command and the paths it touches; `argv` are its words after expansion, the program first.
    pub fn command(&self, argv: &[String]) -> CommandFacts {
        self.commands().facts(argv, self.package_managers())
    }

    /// A package manager by the name [`Image::package_manager`] gives (`apt-get`, `apk`, ...) or one of its aliases.
    pub fn package_manager(&self, name: &str) -> Option<&PackageManager> {
        let all = self.package_managers();
        all.get(name).or_else(|| all.values().find(|p| p.aliases.iter().any(|a| a == name)))
    }

    /// The catalogue of distroless images.
    pub fn distroless(&self) -> &Distroless {
        self.distroless.get_or_init(|| builtin!("distroless", Distroless))
    }

    /// How a user is made in an image of `family` that has `tools` ([`Image::user_tools`]). None: not with what is
    /// there; name the user by number. Without `tools` the family's usual ones are assumed.
    pub fn user_creation(&self, family: Family, tools: Option<&[String]>) -> Option<&UserCreation> {
        self.users().creation(family, tools)
    }

    /// The catalogue of what tells that a container needs more than an unprivileged user has.
    pub fn signals(&self) -> &Signals {
        self.signals.get_or_init(|| builtin!("signals", Signals))
    }

    /// Where every entry was read: its name, its source and the day it was checked (`2026-11-23`).
    pub fn sources(&self) -> Vec<(&str, &str, &str)> {
        let images = self.images();
        let entries = images.images.iter().map(|(n, e)| (n, &e.source, &e.checked));
        let systems = images.systems.iter().map(|(n, s)| (n, &s.source, &s.checked));
        let mirrors = images.mirrors.iter().map(|m| (m.prefix.as_str(), &m.source, &m.checked));
        let managers = self.package_managers().iter().map(|(n, p)| (n.as_str(), &p.source, &p.checked));
        let distroless = self.distroless();
        let named = entries.chain(systems).chain(mirrors).chain(managers);
        let named = named.chain([(distroless.registry.as_str(), &distroless.source, &distroless.checked)]);
        let mut out: Vec<_> = named.map(|(n, s, c)| (n, s.as_str(), c.as_str())).collect();
        let (commands, users) = (self.commands(), self.users());
        out.push(("commands", &commands.source, &commands.checked));
        out.push(("users", &users.source, &users.checked));
        out.extend(self.signals().sources());
        out
    }

    fn users(&self) -> &tables::Users {
        self.users.get_or_init(|| builtin!("users", tables::Users))
    }

    fn images(&self) -> &Images {
        self.images.get_or_init(|| {
            let mut out = builtin!("images", Images);
            (out.images, out.systems) = (entries!("images", "images"), entries!("images", "systems"));
            out
        })
    }

    fn commands(&self) -> &commands::Commands {
        self.commands.get_or_init(|| {
            let mut out = builtin!("commands", commands::Commands);
            out.commands = entries!("commands", "commands");
            out
        })
    }

    /// All package managers, by name.
    pub fn package_managers(&self) -> &BTreeMap<String, PackageManager> {
        self.package_managers.get_or_init(|| builtin!("package_managers", BTreeMap<String, PackageManager>))
    }
}

/// What a user may lay over the catalogues.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Overlay {
    images: Vec<Entry>,
    mirrors: Vec<Mirror>,
    words: Vec<Word>,
    systems: BTreeMap<String, System>,
    commands: BTreeMap<String, commands::Command>,
    package_managers: BTreeMap<String, PackageManager>,
    distroless: Option<Distroless>,
}

fn parse<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("the catalogues have the shape that the tests read them with")
}

/// The line (from 1) of the name that an error message ends on.
fn line_of(text: &str, message: &str) -> usize {
    let name = message.rsplit(' ').next().unwrap_or(message);
    text.lines().position(|l| l.contains(name)).map_or(1, |i| i + 1)
}

#[cfg(test)]
mod tests;
