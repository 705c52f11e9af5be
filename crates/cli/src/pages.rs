//! Shell completions and manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::{Cli, output};

/// Print the completions for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock completions bash > ~/.local/share/bash-completion/completions/turnlock
  turnlock completions fish > ~/.config/fish/completions/turnlock.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page, or write those of all commands into a directory
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock man | man -l -
  turnlock man --dir ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "turnlock", &mut script);
    output::answer(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: ManArgs) -> Result<ExitCode, Failure> {
    match args.dir {
        Some(dir) => {
            let written = std::fs::create_dir_all(&dir)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), &dir));
            written.map_err(|e| {
                Failure::new(format!("cannot write manual pages to {}: {e}", dir.display()))
            })?;
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|e| Failure::new(format!("cannot write the manual page: {e}")))?;
            output::answer(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
