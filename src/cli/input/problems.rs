//! What is wrong with the files that were given, told together.

use std::fmt;

use crate::cli::printable;

/// Most problems that are told in words; the others are counted.
pub(super) const TOLD: usize = 20;

/// The first problems in words, the others as a number.
#[derive(Debug, Default)]
pub struct Problems {
    told: Vec<String>,
    total: usize,
}

/// How many problems there were at some time.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    told: usize,
    total: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: impl FnOnce() -> String) {
        self.total += 1;
        if self.told.len() < TOLD {
            self.told.push(printable(&problem()));
        }
    }

    /// Counts problems that need no words.
    pub(super) fn add_untold(&mut self, number: usize) {
        self.total += number;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            told: self.told.len(),
            total: self.total,
        }
    }

    /// Says whether there are more than there were then.
    pub(super) fn grew(&self, since: Mark) -> bool {
        self.total > since.total
    }

    /// Forgets the problems since then.
    pub(super) fn rewind(&mut self, to: Mark) {
        self.told.truncate(to.told);
        self.total = to.total;
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([problem], 1) = (self.told.as_slice(), self.total) {
            return f.write_str(problem);
        }
        write!(f, "{} problems:", self.total)?;
        for problem in &self.told {
            write!(f, "\n  {problem}")?;
        }
        match self.total - self.told.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(number: usize) -> Problems {
        let mut problems = Problems::default();
        for index in 0..number {
            problems.add(|| format!("no. {index}"));
        }
        problems
    }

    #[test]
    fn one_problem_is_one_line_and_many_are_a_list_with_an_end() {
        assert_eq!(problems(1).to_string(), "no. 0");
        assert_eq!(problems(2).to_string(), "2 problems:\n  no. 0\n  no. 1");
        let many = problems(1000).to_string();
        assert!(many.starts_with("1000 problems:\n"), "{many}");
        assert!(many.ends_with("\n  no. 19\n  and 980 more"), "{many}");
    }

    #[test]
    fn problems_are_forgotten_again() {
        let mut problems = problems(3);
        let mark = problems.mark();
        assert!(!problems.grew(mark));
        problems.add(|| "other".to_owned());
        problems.add_untold(5);
        assert!(problems.grew(mark));
        problems.rewind(mark);
        assert_eq!(problems.to_string().lines().count(), 4);
    }
}
