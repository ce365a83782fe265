//! The figures, in memory and in a file of JSON lines that is written as they are measured.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use serde_json::{Value, json};

use crate::{Failure, cluster::Machine};

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub run: u64,
    pub bindings: u64,
    pub name: String,
    pub value: Value,
}

/// What was measured.
#[derive(Default)]
pub struct Figures {
    file: Option<File>,
    /// What it was measured on.
    pub machine: Value,
    /// How many bindings the floor had in flight.
    pub floor_in_flight: u64,
    pub all: Vec<Figure>,
}

/// Takes the figures of one run of one size.
pub struct Record<'a> {
    figures: &'a mut Figures,
    run: u32,
    bindings: usize,
}

impl Figures {
    /// Returns no figures yet, that will be appended to a file.
    pub fn append_to(path: &Path) -> Result<Self, Failure> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self {
            file: Some(File::options().create(true).append(true).open(path)?),
            ..Self::default()
        })
    }

    /// Reads a file. What a later measurement appended on another machine, or with another floor, takes the place of what stood
    /// before it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let mut figures = Self::default();
        for line in fs::read_to_string(path)?.lines() {
            let line: Value = serde_json::from_str(line)?;
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| line[name].as_u64().unwrap_or_default();
            if line["machine"].is_object() {
                figures = Self::default();
                figures.machine = line["machine"].clone();
            } else if line["floorInFlight"].is_u64() {
                figures.floor_in_flight = number("floorInFlight");
            } else {
                figures.all.push(Figure {
                    run: number("run"),
                    bindings: number("bindings"),
                    name: text("figure"),
                    value: line["value"].clone(),
                });
            }
        }
        Ok(figures)
    }

    /// Notes what all this runs on.
    pub fn note_machine(&mut self, machine: &Machine) -> Result<(), Failure> {
        self.machine = json!({
            "cores": machine.cores,
            "processor": machine.processor,
            "apiserver": machine.apiserver,
        });
        self.append(&json!({"machine": self.machine}))
    }

    /// Notes how many bindings the floor has in flight.
    pub fn note_floor(&mut self, in_flight: usize) -> Result<(), Failure> {
        self.floor_in_flight = in_flight as u64;
        self.append(&json!({"floorInFlight": in_flight}))
    }

    /// Returns where the figures of a run go.
    pub fn of(&mut self, run: u32, bindings: usize) -> Record<'_> {
        Record {
            figures: self,
            run,
            bindings,
        }
    }

    fn append(&mut self, line: &Value) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

impl Record<'_> {
    /// Notes a figure.
    pub fn note(&mut self, name: &str, value: impl serde::Serialize) -> Result<(), Failure> {
        let figure = Figure {
            run: self.run.into(),
            bindings: self.bindings as u64,
            name: name.to_owned(),
            value: serde_json::to_value(value)?,
        };
        eprintln!("  {name}: {}", shortened(&figure.value));
        self.figures.append(&json!({
            "run": figure.run,
            "bindings": figure.bindings,
            "figure": figure.name,
            "value": figure.value,
        }))?;
        self.figures.all.push(figure);
        Ok(())
    }
}

/// Returns a value as the one who waits wants to see it.
fn shortened(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("{} values", values.len()),
        Value::Number(number) => number.as_f64().map_or_else(String::new, |number| {
            format!("{number:.3}")
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
        }),
        value => value.to_string(),
    }
}
