//! What is asked for.

use std::path::PathBuf;

/// How it is asked.
pub(crate) const USAGE: &str = "\
usage: cargo xtask versus [--rows LIST] [--mtu LIST] [--rounds N] [--seconds N] [--file-bytes N] [--json FILE]
  --rows LIST      which comparisons: stream, rr, load, crr, close, keep-alive, file (all)
  --mtu LIST       on wires of these MTUs (1500,3498,9000)
  --rounds N       how often each is measured; the median counts (5)
  --seconds N      how long each takes, but for files (2)
  --file-bytes N   how long the file is (1073741824)
  --json FILE      write the rows
";

/// The comparisons by their names.
pub(crate) const ROWS: [&str; 7] = ["stream", "rr", "load", "crr", "close", "keep-alive", "file"];

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) bypath: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) seconds: u32,
    pub(crate) mtus: Vec<u32>,
    pub(crate) file_bytes: u64,
    pub(crate) rows: Vec<String>,
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// Reads them.
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            bypath: "bypath".into(),
            rounds: 5,
            seconds: 2,
            mtus: vec![1500, 3498, 9000],
            file_bytes: 1 << 30,
            rows: ROWS.map(str::to_owned).to_vec(),
            json: None,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let bad = || format!("{name} cannot be {value}");
            match name.as_str() {
                "--bypath" => options.bypath = value.into(),
                "--rounds" => options.rounds = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
                "--seconds" => options.seconds = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?,
                "--file-bytes" => {
                    options.file_bytes = value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?;
                }
                "--json" => options.json = Some(value.into()),
                "--mtu" => {
                    let mtus: Result<Vec<u32>, _> = value.split(',').map(str::parse).collect();
                    options.mtus = mtus.map_err(|_| bad())?;
                }
                "--rows" => {
                    options.rows = value.split(',').map(str::to_owned).collect();
                    if options.rows.iter().any(|row| !ROWS.contains(&row.as_str())) {
                        return Err(bad());
                    }
                }
                _ => return Err(format!("there is no option {name}")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, String> {
        Options::read(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn lists_and_numbers_are_read() {
        let options = read("--rows rr,file --mtu 1500,9000 --rounds 7 --json a.json").unwrap();
        assert_eq!((options.rows, options.mtus), (vec!["rr".into(), "file".into()], vec![1500, 9000]));
        assert_eq!((options.rounds, options.json), (7, Some("a.json".into())));
        assert_eq!(read("").unwrap().rows.len(), ROWS.len());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in ["--rows", "--rows x", "--rounds 0", "--mtu 1500,x", "--what 1", "--seconds -1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
