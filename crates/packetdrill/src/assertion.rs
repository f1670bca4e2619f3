//! `%{ assert tcpi_snd_cwnd == 10 }%`: the small part of Python that scripts use. Every value is a number.

use crate::cursor::Cursor;
use crate::failure::Trouble;

/// Evaluates all statements of `code`, which begins in line `line`; `lookup` gives names their values.
///
/// # Errors
/// A statement that is not understood, and an assertion that does not hold, with the values of the names in it.
pub(crate) fn check(
    line: usize,
    code: &str,
    lookup: &mut dyn FnMut(&str) -> Result<f64, String>,
) -> Result<(), Trouble> {
    for (index, statements) in code.lines().enumerate() {
        let at = |message: String| Trouble::new(line + index, message);
        let statements = statements.split_once('#').map_or(statements, |(code, _)| code);
        for statement in statements.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            let Some(condition) = statement.strip_prefix("assert") else {
                if statement.starts_with("print") || statement.starts_with("import") || statement == "pass" {
                    continue;
                }
                return Err(at(format!("`{statement}` is not understood: only `assert` is")));
            };
            let mut used = Vec::new();
            let mut cursor = Cursor::without_comments(condition);
            let mut noting = |name: &str| {
                let value = lookup(name)?;
                used.push(format!("{name} is {value}"));
                Ok(value)
            };
            let value =
                Evaluator { cursor: &mut cursor, lookup: &mut noting }.either().map_err(|t| at(t.message))?;
            // What follows a comma is what Python would print.
            if !cursor.at_end() && !cursor.looks_at(",") {
                return Err(at(cursor.trouble("the assertion is not understood").message));
            }
            if value == 0.0 {
                return Err(at(format!("`{statement}` does not hold: {}", used.join(", "))));
            }
        }
    }
    Ok(())
}

struct Evaluator<'a, 't> {
    cursor: &'a mut Cursor<'t>,
    lookup: &'a mut dyn FnMut(&str) -> Result<f64, String>,
}

type Number = Result<f64, Trouble>;

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

impl Evaluator<'_, '_> {
    fn either(&mut self) -> Number {
        let mut value = self.both()?;
        while self.cursor.eat_word("or") {
            let other = self.both()?;
            value = if value == 0.0 { other } else { value };
        }
        Ok(value)
    }

    fn both(&mut self) -> Number {
        let mut value = self.negation()?;
        while self.cursor.eat_word("and") {
            let other = self.negation()?;
            value = if value == 0.0 { value } else { other };
        }
        Ok(value)
    }

    fn negation(&mut self) -> Number {
        if self.cursor.eat_word("not") {
            return Ok(truth(self.negation()? == 0.0));
        }
        self.comparison()
    }

    /// `a < b <= c` holds if both parts do.
    fn comparison(&mut self) -> Number {
        let mut left = self.bits()?;
        let mut holds = None;
        loop {
            let Some(operator) =
                ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|operator| self.cursor.eat(operator))
            else {
                if self.cursor.eat_word("in") {
                    let found = self.membership(left)?;
                    return Ok(truth(found && holds.unwrap_or(true)));
                }
                return Ok(holds.map_or(left, truth));
            };
            let right = self.bits()?;
            let this = match operator {
                "==" => (left - right).abs() < 1e-9,
                "!=" => (left - right).abs() >= 1e-9,
                "<=" => left <= right,
                ">=" => left >= right,
                "<" => left < right,
                _ => left > right,
            };
            holds = Some(holds.unwrap_or(true) && this);
            left = right;
        }
    }

    fn membership(&mut self, value: f64) -> Result<bool, Trouble> {
        let close = if self.cursor.eat("[") {
            "]"
        } else {
            self.cursor.expect("(")?;
            ")"
        };
        let mut found = false;
        while !self.cursor.eat(close) {
            found |= (self.either()? - value).abs() < 1e-9;
            let _ = self.cursor.eat(",");
        }
        Ok(found)
    }

    fn bits(&mut self) -> Number {
        let mut value = self.sum()?;
        loop {
            let operator = ["|", "&", "^", "<<", ">>"].into_iter().find(|operator| self.cursor.eat(operator));
            let Some(operator) = operator else { return Ok(value) };
            let (a, b) = (value as i64, self.sum()? as i64);
            value = match operator {
                "|" => a | b,
                "&" => a & b,
                "^" => a ^ b,
                "<<" => a.checked_shl(u32::try_from(b).unwrap_or(64)).unwrap_or(0),
                _ => a.checked_shr(u32::try_from(b).unwrap_or(64)).unwrap_or(0),
            } as f64;
        }
    }

    fn sum(&mut self) -> Number {
        let mut value = self.product()?;
        loop {
            if self.cursor.eat("+") {
                value += self.product()?;
            } else if self.cursor.eat("-") {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Number {
        let mut value = self.single()?;
        loop {
            if self.cursor.eat("*") {
                value *= self.single()?;
            } else if self.cursor.looks_at("//") || self.cursor.looks_at("/") {
                let whole = self.cursor.eat("//");
                if !whole {
                    self.cursor.expect("/")?;
                }
                let quotient = value / self.single()?;
                value = if whole { quotient.floor() } else { quotient };
            } else if self.cursor.eat("%") {
                value = value.rem_euclid(self.single()?);
            } else {
                return Ok(value);
            }
        }
    }

    fn single(&mut self) -> Number {
        if self.cursor.eat("-") {
            return Ok(-self.single()?);
        }
        if self.cursor.eat("(") {
            let value = self.either()?;
            self.cursor.expect(")")?;
            return Ok(value);
        }
        let before = self.cursor.clone();
        if self.cursor.peek_word().starts_with("0x") {
            return Ok(self.cursor.number()? as f64);
        }
        if self.cursor.peek_word().starts_with(|c: char| c.is_ascii_digit()) || self.cursor.looks_at(".") {
            let digits = self.cursor.take_while(|c| c.is_ascii_digit() || c == '.' || c == '_');
            return digits.replace('_', "").parse().map_err(|_| before.trouble("a number is missing"));
        }
        let name = self.cursor.word()?;
        if self.cursor.eat("(") {
            let mut arguments = Vec::new();
            while !self.cursor.eat(")") {
                arguments.push(self.either()?);
                let _ = self.cursor.eat(",");
            }
            return match (name, &arguments[..]) {
                ("abs", [x]) => Ok(x.abs()),
                ("int" | "float", [x]) => Ok(if name == "int" { x.trunc() } else { *x }),
                ("min", [first, rest @ ..]) => Ok(rest.iter().fold(*first, |a, b| a.min(*b))),
                ("max", [first, rest @ ..]) => Ok(rest.iter().fold(*first, |a, b| a.max(*b))),
                _ => Err(before.trouble(format!("the function `{name}` is not known"))),
            };
        }
        (self.lookup)(name).map_err(|message| Trouble::new(before.line(), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(code: &str) -> Result<(), String> {
        let mut lookup = |name: &str| match name {
            "tcpi_snd_cwnd" => Ok(10.0),
            "tcpi_rtt" => Ok(20_500.0),
            _ => Err(format!("`{name}` is not known")),
        };
        check(7, code, &mut lookup).map_err(|t| format!("{}: {}", t.line, t.message))
    }

    #[test]
    fn true_assertions_pass_whatever_python_would_print() {
        for code in [
            "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
            "assert tcpi_snd_cwnd == 10, 'cwnd=%d' % tcpi_snd_cwnd",
            "assert 20000 <= tcpi_rtt < 21000 and not tcpi_snd_cwnd > 10",
            "assert (tcpi_snd_cwnd * 2 + 1) // 2 == 10; assert tcpi_snd_cwnd in (9, 10)",
            "assert tcpi_snd_cwnd & 2 == 2 or 0 == 1",
            "\nassert abs(tcpi_rtt - 20000) < 1000\nprint(tcpi_rtt)\n",
        ] {
            assert_eq!(holds(code), Ok(()), "{code}");
        }
    }

    #[test]
    fn a_false_one_says_where_and_with_which_values() {
        let told = holds("\nassert tcpi_snd_cwnd == 11").unwrap_err();
        assert_eq!(told, "8: `assert tcpi_snd_cwnd == 11` does not hold: tcpi_snd_cwnd is 10");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(holds("x = 1").unwrap_err().contains("`x = 1` is not understood"));
        assert!(holds("assert tcpi_nothing == 1").unwrap_err().contains("`tcpi_nothing` is not known"));
        assert!(holds("assert tcpi_rtt ? 1").unwrap_err().contains("not understood"));
    }
}
