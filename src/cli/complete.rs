//! `completions`, and the hidden `complete` by which kubectl completes `kubectl ipb`: kubectl runs `kubectl_complete-ipb` with the words
//! so far, and takes one candidate a line and then a directive, as programs made with Cobra give them.
//!
//! Source: <https://kubernetes.io/blog/2022/08/25/kubectl-plugin-completion/> (no library gives this form for clap).

use std::{
    io::{self, Write},
    path::Path,
};

use clap::{Arg, Args, Command};
use clap_complete::Shell;

use super::Error;

/// What `completions --kubectl` prints: a program to be put on PATH as `kubectl_complete-ipb`.
const KUBECTL_SCRIPT: &str = "#!/bin/sh
# Put this on PATH as kubectl_complete-ipb, and make it executable: kubectl asks it for completions of `kubectl ipb`.
exec kubectl-ipb complete -- \"$@\"
";
/// The name under which the program is a plugin of kubectl.
const PLUGIN: &str = "kubectl-ipb";
/// Cobra's directive: the candidates are all there is, and no file names.
const NO_FILES: &str = ":4";
/// Cobra's directive: file names may be meant.
const FILES: &str = ":0";

/// Options of `completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator completions bash \\\n    > /etc/bash_completion.d/inference-profile-operator\n  kubectl-ipb completions zsh > ~/.zfunc/_kubectl-ipb\n  kubectl-ipb completions --kubectl > ~/bin/kubectl_complete-ipb \\\n    && chmod +x ~/bin/kubectl_complete-ipb"
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(required_unless_present = "kubectl")]
    shell: Option<Shell>,
    /// Prints the program kubectl_complete-ipb instead, by which kubectl completes `kubectl ipb` in every shell
    #[arg(long, conflicts_with = "shell")]
    kubectl: bool,
}

/// Words of a command line that is being written.
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words after `kubectl ipb`; the last may be unfinished or empty
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Prints completions under the name by which the program was called.
pub(super) fn script(
    args: &CompletionsArgs,
    mut command: Command,
    out: &mut impl Write,
) -> Result<(), Error> {
    let Some(shell) = args.shell else {
        out.write_all(KUBECTL_SCRIPT.as_bytes())?;
        return Ok(());
    };
    let called = std::env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&called)
        .file_stem()
        .is_some_and(|name| name == PLUGIN);
    let name = if is_plugin {
        PLUGIN
    } else {
        "inference-profile-operator"
    };
    // The generator panics if it can't write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    Ok(())
}

pub(super) fn candidates(
    args: &CompleteArgs,
    mut command: Command,
    out: &mut impl Write,
) -> io::Result<()> {
    command.build();
    let (candidates, directive) = complete(&command, &args.words);
    for (word, help) in candidates {
        if help.is_empty() {
            writeln!(out, "{word}")?;
        } else {
            writeln!(out, "{word}\t{help}")?;
        }
    }
    writeln!(out, "{directive}")
}

/// Returns the candidates for the last word, each with a line of help, and the directive.
fn complete(root: &Command, words: &[String]) -> (Vec<(String, String)>, &'static str) {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let mut command = root;
    let mut expecting: Option<&Arg> = None;
    for word in before {
        if expecting.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            expecting = option(command, word).filter(|arg| arg.get_action().takes_values());
        } else if let Some(sub) = command.find_subcommand(word) {
            command = sub;
        }
    }
    if let Some(arg) = expecting {
        return values(arg, "", last);
    }
    if let Some((name, value)) = last.split_once('=')
        && name.starts_with("--")
    {
        return option(command, name).map_or((Vec::new(), FILES), |arg| {
            values(arg, &format!("{name}="), value)
        });
    }
    if last.starts_with('-') {
        let options = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let found = options
            .filter_map(|arg| Some((format!("--{}", arg.get_long()?), help(arg.get_help()))))
            .filter(|(name, _)| name.starts_with(last));
        return (found.collect(), NO_FILES);
    }
    if command.has_subcommands() {
        let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let found = subs
            .map(|sub| (sub.get_name().to_owned(), help(sub.get_about())))
            .filter(|(name, _)| name.starts_with(last));
        return (found.collect(), NO_FILES);
    }
    match command.get_positionals().next() {
        Some(arg) => values(arg, "", last),
        None => (Vec::new(), NO_FILES),
    }
}

/// Returns the option that a word names, unless its value stands in the word too.
fn option<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let mut arguments = command.get_arguments();
    if let Some(long) = word.strip_prefix("--") {
        return arguments.find(|arg| arg.get_long() == Some(long));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let short = letters.next();
    // In -nshop the value follows the letter.
    if letters.next().is_some() {
        return None;
    }
    arguments.find(|arg| arg.get_short() == short)
}

fn values(arg: &Arg, prefix: &str, begun: &str) -> (Vec<(String, String)>, &'static str) {
    let possible = arg.get_possible_values();
    if possible.is_empty() {
        return (Vec::new(), FILES);
    }
    let found = possible
        .iter()
        .filter(|value| !value.is_hide_set() && value.get_name().starts_with(begun))
        .map(|value| {
            (
                format!("{prefix}{}", value.get_name()),
                help(value.get_help()),
            )
        });
    (found.collect(), NO_FILES)
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_last_word_is_completed() {
        let mut root = Cli::command();
        root.build();
        let complete = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let (found, directive) = complete(&root, &words);
            let names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
            (names, directive)
        };
        for (words, expected, directive) in [
            (&["doc"][..], &["doctor"][..], NO_FILES),
            (&["catalog", "ma"], &["matrix"], NO_FILES),
            (&["doctor", "--aws"], &["--aws-only"], NO_FILES),
            (&["doctor", "-o", "j"], &["json"], NO_FILES),
            (&["doctor", "--output=y"], &["--output=yaml"], NO_FILES),
            (
                &["doctor", "-n", "shop", "--cluster-o"],
                &["--cluster-only"],
                NO_FILES,
            ),
            (&["render", "-f", ""], &[], FILES),
            (&["status", ""], &[], FILES),
            (&["doctor", "--skip", "lead"], &["leader"], NO_FILES),
        ] {
            let (names, found) = complete(words);
            assert_eq!(names, expected, "{words:?}");
            assert_eq!(found, directive, "{words:?}");
        }
        let (all, _) = complete(&[""]);
        assert!(all.contains(&"status".to_owned()) && !all.contains(&"complete".to_owned()));
        assert!(complete(&[]).0.len() > 5);
    }
}
