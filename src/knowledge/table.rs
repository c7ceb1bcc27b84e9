//! Entries by name, each read when it is first asked for: a run names a handful of the images and commands there are, and reading
//! all of them took longer than planning a Dockerfile.

use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The entries of a catalogue as the build leaves them, in the order of their names.
#[derive(Debug)]
pub struct Carried {
    /// Name and JSON document.
    pub entries: &'static [(&'static str, &'static str)],
    /// Other names, in order, and the place of the entry; a name may stand for several.
    pub aliases: &'static [(&'static str, usize)],
}

/// The entries that the program carries, and those that a user lays over them.
#[derive(Clone, Debug)]
pub struct Table<T> {
    carried: &'static Carried,
    // Boxed, for most are never read.
    read: Vec<OnceLock<Box<T>>>,
    own: BTreeMap<String, T>,
    own_aliases: BTreeMap<String, String>,
}

impl<T> From<&'static Carried> for Table<T> {
    fn from(carried: &'static Carried) -> Self {
        let read = carried.entries.iter().map(|_| OnceLock::new()).collect();
        Self { carried, read, own: BTreeMap::new(), own_aliases: BTreeMap::new() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::from(&Carried { entries: &[], aliases: &[] })
    }
}

impl<T: DeserializeOwned> Table<T> {
    /// Lays an entry over the one of its name.
    pub fn insert(&mut self, name: String, aliases: &[String], entry: T) {
        self.own_aliases.extend(aliases.iter().map(|a| (a.clone(), name.clone())));
        self.own.insert(name, entry);
    }

    /// Whether there is an entry of that name or alias.
    pub fn contains(&self, name: &str) -> bool {
        self.own_named(name).is_some() || self.place(name).is_some()
    }

    /// The entry of that name or alias.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.own_named(name).or_else(|| self.place(name).map(|i| self.read(i)))
    }

    /// The entries that the program carries which have one of these aliases, by name.
    pub fn with_alias<'t>(&'t self, aliases: &[&str]) -> impl Iterator<Item = (&'t str, &'t T)> + use<'t, T> {
        let named = self.carried.aliases.iter().filter(|a| aliases.contains(&a.0));
        let places: BTreeSet<usize> = named.map(|a| a.1).collect();
        places.into_iter().map(|i| (self.carried.entries[i].0, self.read(i)))
    }

    /// All entries by name, those that the program carries first; those are read by this.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        let carried =
            self.carried.entries.iter().enumerate().filter(|(_, (n, _))| !self.own.contains_key(*n));
        carried.map(|(i, (n, _))| (*n, self.read(i))).chain(self.own.iter().map(|(n, e)| (n.as_str(), e)))
    }

    fn own_named(&self, name: &str) -> Option<&T> {
        self.own.get(name).or_else(|| self.own.get(self.own_aliases.get(name)?))
    }

    /// The place of an entry that the program carries; the one that a user replaced has no aliases either.
    fn place(&self, name: &str) -> Option<usize> {
        let Carried { entries, aliases } = self.carried;
        let named = entries.binary_search_by(|e| e.0.cmp(name)).ok();
        let place = named.or_else(|| Some(aliases[aliases.binary_search_by(|a| a.0.cmp(name)).ok()?].1))?;
        (!self.own.contains_key(entries[place].0)).then_some(place)
    }

    fn read(&self, place: usize) -> &T {
        self.read[place].get_or_init(|| super::parse(self.carried.entries[place].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static CARRIED: Carried = Carried {
        entries: &[("apk", "1"), ("apt", "2"), ("uv", "3"), ("uv-pip", "4")],
        aliases: &[("aptitude", 1), ("uv", 2), ("uv", 3)],
    };

    #[test]
    fn entries_are_found_by_name_and_alias() {
        let table: Table<u32> = Table::from(&CARRIED);
        let check = |name: &str, expect: Option<u32>| {
            assert_eq!(
                (table.get(name), table.contains(name)),
                (expect.as_ref(), expect.is_some()),
                "{name}"
            );
        };
        check("apt", Some(2));
        check("aptitude", Some(2));
        check("uv", Some(3));
        check("yum", None);
        let named = |names: &[&str]| table.with_alias(names).map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(named(&["uv", "aptitude"]), ["apt", "uv", "uv-pip"]);
        assert!(named(&["apk"]).is_empty());
    }

    #[test]
    fn an_entry_laid_over_another_takes_its_names_away() {
        let mut table: Table<u32> = Table::from(&CARRIED);
        table.insert("apt".to_string(), &["ours".to_string()], 7);
        let all: Vec<_> = table.iter().map(|(n, v)| (n, *v)).collect();
        assert_eq!(all, [("apk", 1), ("uv", 3), ("uv-pip", 4), ("apt", 7)]);
        assert_eq!((table.get("apt"), table.get("ours"), table.get("aptitude")), (Some(&7), Some(&7), None));
    }
}
