//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::{parse_assumption, parse_builder, parse_platform},
    options::{Assumption, Builder, Platform},
    repo::MAX_FILE_SIZE,
};

/// Make Dockerfiles faster to build, smaller and safer: each change is the least one, and comes with its proof.
#[derive(Debug, Parser)]
#[command(name = "dfopt", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
#[command(after_help = "Without --write nothing is changed: the diff is shown.\n\
    Exit status: 0 nothing to do, or all written; 1 the files differ from what dfopt would write; 2 usage, config or \
    internal error; 3 no Dockerfile found; 4 some files could not be read, parsed or written; \
    5 verify: not equivalent.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
}

/// What a run without a command is told.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Dockerfiles, folders to look for them in, or - for standard input [default: .]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Rewrite the files in place; of standard input, print the new text
    #[arg(long)]
    pub write: bool,
    /// Only say which files would change
    #[arg(long, conflicts_with = "write")]
    pub check: bool,
    #[command(flatten)]
    pub plan: Plan,
    /// What is printed [default: text on a terminal, else diff]
    #[arg(long, value_name = "FORMAT")]
    pub output_format: Option<Format>,
    /// Lines around each change of a diff
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub unified: usize,
    /// Leave out what matches this glob, as in a .gitignore; files that are named are read nevertheless
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Only Dockerfiles with changes that no commit holds
    #[arg(long, conflicts_with = "since")]
    pub changed: bool,
    /// Only Dockerfiles that have changed since the work left this commit or branch
    #[arg(long, value_name = "REF")]
    pub since: Option<String>,
    /// The path that standard input stands for
    #[arg(long, value_name = "PATH")]
    pub stdin_filename: Option<PathBuf>,
    /// Write files with uncommitted changes too
    #[arg(long)]
    pub allow_dirty: bool,
    /// Exit with 0 where files differ
    #[arg(long)]
    pub exit_zero: bool,
    /// Show also what was left alone because it would gain nothing
    #[arg(long)]
    pub show_refusals: bool,
    /// How many files are worked on at a time [default: one for each core]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    #[command(flatten)]
    pub look: Look,
}

/// What planning a file is told; for the other commands as well.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// safe: the same image, proved. review: also what changes the image on purpose, or rests on an assumption [default: safe]
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<LevelName>,
    /// Run these passes alone
    #[arg(long, value_name = "PASS,…", value_delimiter = ',')]
    pub select: Vec<String>,
    /// Do not run these passes
    #[arg(long, value_name = "PASS,…", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Do not run a pass on the files that match a glob
    #[arg(long, value_name = "GLOB:PASS")]
    pub per_file_ignores: Vec<String>,
    /// The build context
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,
    /// The stage that is built [default: what compose, bake or skaffold say, else the last]
    #[arg(long, value_name = "STAGE")]
    pub target: Vec<String>,
    /// What the image is built for, such as linux/arm64 [default: what compose, bake or a build step say]
    #[arg(long, value_name = "OS/ARCH,…", value_delimiter = ',', value_parser = parse_platform)]
    pub platform: Vec<Platform>,
    /// A build argument; without a value that of the environment
    #[arg(long, value_name = "K=V")]
    pub build_arg: Vec<String>,
    /// buildkit[=FRONTEND], classic, podman or kaniko [default: buildkit=1.4]
    #[arg(long, value_name = "BUILDER", value_parser = parse_builder)]
    pub builder: Option<Builder>,
    /// Vouch for an assumption
    #[arg(long, value_name = "FACT", value_parser = parse_assumption)]
    pub assume: Vec<Assumption>,
    /// A config file, or one of its settings
    #[arg(long, value_name = "FILE|KEY=VALUE")]
    pub config: Vec<String>,
    /// Read no .dfopt.yaml
    #[arg(long)]
    pub isolated: bool,
    /// Do not read larger files, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = MAX_FILE_SIZE)]
    pub max_file_size: u64,
}

/// How output looks.
#[derive(Clone, Copy, Debug, Args)]
pub struct Look {
    /// When to use colours; NO_COLOR is heeded
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,
    /// Print less
    #[arg(short, long)]
    pub quiet: bool,
    /// Print more
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the passes
    Passes,
    /// Print what a pass does, assumes and refuses
    Explain {
        /// Its name
        pass: String,
    },
    /// Say what each pass thinks of a line
    Why {
        /// A Dockerfile and a line of it
        #[arg(value_name = "FILE:LINE")]
        place: String,
        /// This pass alone
        pass: Option<String>,
        #[command(flatten)]
        plan: Plan,
    },
    /// Draw the stages and instructions of a Dockerfile, and what each depends on
    Graph {
        file: PathBuf,
        #[arg(long, value_name = "FORMAT", default_value = "mermaid")]
        format: GraphFormat,
        /// As it would be after all changes
        #[arg(long)]
        after: bool,
        #[command(flatten)]
        plan: Plan,
    },
    /// Prove a rewrite: build before and after with a real engine, and compare the images
    Verify(Verify),
    /// Print a script that completes dfopt's options in a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    Man,
}

/// What `dfopt verify` is told.
#[derive(Clone, Debug, Args)]
#[command(
    after_long_help = "The original is built twice without cache, and the rewrite between the two: what differs between two builds of the \
    same file is noise. All else must be equal: each path with its type, mode, owner, link target, extended attributes and content, and \
    each field of the config. At level review what a pass declares may differ, and nothing else. Nothing is written, and what is built is \
    removed again.\n\n\
    Exit status: 0 equivalent; 5 not; 2 it could not be tried; 3 no Dockerfile found."
)]
pub struct Verify {
    /// A Dockerfile, or a folder to look for them in [default: .]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub plan: Plan,
    /// Compare with this Dockerfile instead of dfopt's rewrite; nothing may differ
    #[arg(long, value_name = "FILE", conflicts_with = "level")]
    pub against: Option<PathBuf>,
    /// The network of RUN, and of the images that are started
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
    /// Start both images and compare what they do
    #[arg(long)]
    pub run: bool,
    /// Ask both images: http://:PORT/PATH, or a command, which finds the container in DFOPT_CONTAINER; implies --run
    #[arg(long, value_name = "URL|COMMAND")]
    pub probe: Option<String>,
    /// A word to start the images with, in place of their CMD
    #[arg(long = "arg", value_name = "WORD", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// How long an image may take to answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
    /// Do not compare the paths of the images that match this glob, as in a .gitignore: /var/cache/**
    #[arg(long, value_name = "GLOB")]
    pub ignore_path: Vec<String>,
    /// Do not measure rebuilds
    #[arg(long)]
    pub no_measure: bool,
    /// The source file, from the build context, to edit for the measurement [default: one is chosen]
    #[arg(long, value_name = "FILE")]
    pub edit: Option<String>,
    /// What is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output_format: VerifyFormat,
    #[command(flatten)]
    pub look: Look,
    /// More options of docker build, behind --: --secret id=npmrc,src=.npmrc
    #[arg(last = true, value_name = "BUILD OPTION")]
    pub build_options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyFormat {
    Text,
    Json,
    Markdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    Safe,
    Review,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Diff,
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Mermaid,
    Dot,
    Svg,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn no_command_has_an_option_twice() {
        super::Cli::command().debug_assert();
    }
}
