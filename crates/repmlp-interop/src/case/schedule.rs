//! The learning rate of a training case. It is given as a formula of `lr`, `t` and `steps`.
//!
//! A formula consists of numbers, sums, products, powers and `cos`, in Python's syntax. Text after ` at ` is ignored.
//! `constant` means `lr`.

/// A parsed formula.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    formula: Expression,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Number(f64),
    Variable(Variable),
    Cosine(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variable {
    LearningRate,
    Step,
    Steps,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideToFloor,
    Power,
}

impl Schedule {
    /// Parses a formula. The error contains the text at which parsing stopped.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let formula = text.split(" at ").next().unwrap_or(text).trim();
        if formula.split([' ', ':', ';', ',']).next() == Some("constant") {
            return Ok(Self { formula: Expression::Variable(Variable::LearningRate) });
        }
        let mut rest = Rest(formula);
        let parsed = rest.sum().and_then(|formula| rest.end().map(|()| formula));
        parsed.map(|formula| Self { formula }).map_err(|at| {
            format!(
                "cannot read the schedule `{text}` (at `{at}`); write `constant` or a formula of lr, t, steps, pi, \
                cos, +, -, *, /, // and **"
            )
        })
    }

    /// Returns the learning rate of step `t`, counted from 0.
    pub(crate) fn at(&self, learning_rate: f64, t: usize, steps: usize) -> f64 {
        self.formula.value(&|variable| match variable {
            Variable::LearningRate => learning_rate,
            Variable::Step => t as f64,
            Variable::Steps => steps as f64,
        })
    }
}

impl Expression {
    fn value(&self, variable: &dyn Fn(Variable) -> f64) -> f64 {
        match self {
            Self::Number(value) => *value,
            Self::Variable(which) => variable(*which),
            Self::Cosine(of) => of.value(variable).cos(),
            Self::Binary(operator, left, right) => {
                let (left, right) = (left.value(variable), right.value(variable));
                match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                    Operator::DivideToFloor => (left / right).floor(),
                    Operator::Power => left.powf(right),
                }
            }
        }
    }

    fn binary(operator: Operator, left: Self, right: Self) -> Self {
        Self::Binary(operator, Box::new(left), Box::new(right))
    }
}

/// The text that is still to be parsed. The error of every rule is the text at which it failed.
struct Rest<'a>(&'a str);

type Parsed<T> = Result<T, String>;

impl Rest<'_> {
    /// Removes `token` from the start of the text. Returns whether it was there.
    fn take(&mut self, token: &str) -> bool {
        match self.0.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn fail<T>(&self) -> Parsed<T> {
        Err(self.0.trim_start().to_owned())
    }

    fn end(&self) -> Parsed<()> {
        if self.0.trim().is_empty() { Ok(()) } else { self.fail() }
    }

    fn sum(&mut self) -> Parsed<Expression> {
        let mut left = self.product()?;
        loop {
            let operator = if self.take("+") {
                Operator::Add
            } else if self.take("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = Expression::binary(operator, left, self.product()?);
        }
    }

    fn product(&mut self) -> Parsed<Expression> {
        let mut left = self.power()?;
        loop {
            let operator = if self.take("*") {
                Operator::Multiply
            } else if self.take("//") {
                Operator::DivideToFloor
            } else if self.take("/") {
                Operator::Divide
            } else {
                return Ok(left);
            };
            left = Expression::binary(operator, left, self.power()?);
        }
    }

    fn power(&mut self) -> Parsed<Expression> {
        let base = self.operand()?;
        if self.take("**") || self.take("^") {
            return Ok(Expression::binary(Operator::Power, base, self.power()?));
        }
        Ok(base)
    }

    fn operand(&mut self) -> Parsed<Expression> {
        if self.take("(") {
            return self.closed();
        }
        let text = self.0.trim_start();
        let ends = |(i, c): &(usize, char)| {
            let exponent =
                matches!(c, '-' | '+') && text[..*i].ends_with('e') && text.starts_with(|c: char| c.is_ascii_digit());
            !exponent && !c.is_ascii_alphanumeric() && *c != '.' && *c != '_'
        };
        let word = &text[..text.char_indices().find(ends).map_or(text.len(), |(i, _)| i)];
        let expression = match word {
            "lr" => Expression::Variable(Variable::LearningRate),
            "t" => Expression::Variable(Variable::Step),
            "steps" => Expression::Variable(Variable::Steps),
            "pi" => Expression::Number(std::f64::consts::PI),
            "cos" => {
                self.0 = &text[word.len()..];
                return if self.take("(") { Ok(Expression::Cosine(Box::new(self.closed()?))) } else { self.fail() };
            }
            number => Expression::Number(number.parse().map_err(|_| text.to_owned())?),
        };
        self.0 = &text[word.len()..];
        Ok(expression)
    }

    /// Parses a sum and the closing bracket after it.
    fn closed(&mut self) -> Parsed<Expression> {
        let inner = self.sum()?;
        if self.take(")") { Ok(inner) } else { self.fail() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, t: usize) -> f64 {
        Schedule::parse(text).unwrap().at(0.2, t, 8)
    }

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-15, "{actual} is not {expected}");
    }

    #[test]
    fn the_schedules_of_training_recipes_are_computed() {
        let cosine = "lr*0.5*(1+cos(pi*t/steps)) at step t=0..steps-1";
        assert_close(at(cosine, 0), 0.2);
        assert_close(at(cosine, 4), 0.1);
        assert_close(at(cosine, 6), 0.1 * (1.0 - 0.5f64.sqrt()));
        assert_close(at("constant", 5), 0.2);
        assert_close(at("constant, no warm-up", 5), 0.2);
        assert_close(at("lr", 5), 0.2);
        assert_close(at("lr * 0.1 ** (t // 3)", 5), 0.02);
        assert_close(at("lr*(1 - t/steps)^0.5", 6), 0.1);
        assert_close(at("lr - 0.1 - 0.05", 0), 0.05);
        assert_close(at("1e-3 + lr*t/steps", 4), 0.101);
    }

    #[test]
    fn invalid_formulas_are_refused_with_their_position() {
        for (text, place) in
            [("warm-up, then linear", "warm-up, then linear"), ("lr*(1+t", ""), ("lr t", "t"), ("cos t", "t")]
        {
            let fault = Schedule::parse(text).unwrap_err();
            assert!(fault.contains(&format!("(at `{place}`)")), "{fault}");
        }
    }
}
