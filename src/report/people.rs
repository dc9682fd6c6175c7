//! The goal among people who may get messages, against those in the holdout.

/// How many customers there are, and how many reached the goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Customers with at least one run.
    pub customers: u64,
    /// Of these, those of whom at least one run reached the goal.
    pub reached: u64,
}

/// Customers of a journey, in the group in which their first run put them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// Those who may get messages, whether they got one or not.
    pub in_journey: Group,
    /// Those who get none.
    pub holdout: Group,
}

/// The 97.5% point of the normal distribution: what makes an interval one of 95%.
const Z: f64 = 1.959_963_984_540_054;

impl Group {
    /// The share that reached the goal, from 0 to 1; `None` without customers.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.customers > 0).then(|| number(self.reached) / number(self.customers))
    }

    /// Wilson's 95% interval of the rate (E. B. Wilson, 1927); `None` without customers.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        let rate = self.rate()?;
        let n = number(self.customers);
        let scale = 1.0 + Z * Z / n;
        let middle = (rate + Z * Z / (2.0 * n)) / scale;
        let half = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt() / scale;
        Some(((middle - half).max(0.0), (middle + half).min(1.0)))
    }
}

impl People {
    /// How much higher the rate is in the journey than in the holdout, with the 95% interval of
    /// R. G. Newcombe (Statistics in Medicine 17, 1998, method 10); `None` if a group is empty.
    ///
    /// It holds as far as customers are independent of each other.
    #[must_use]
    pub fn difference(&self) -> Option<(f64, (f64, f64))> {
        let (a, b) = (self.in_journey.rate()?, self.holdout.rate()?);
        let (a_low, a_high) = self.in_journey.interval()?;
        let (b_low, b_high) = self.holdout.interval()?;
        let low = a - b - (a - a_low).hypot(b_high - b);
        let high = a - b + (a_high - a).hypot(b - b_low);
        Some((a - b, (low, high)))
    }
}

/// Counts of people are far below 2^53, up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method 10 in table II of Newcombe's paper.
    #[test]
    fn the_interval_is_the_published_one() {
        for (reached, of, other, of_other, low, high) in [
            (56, 70, 48, 80, 0.0524, 0.3339),
            (9, 10, 3, 10, 0.1705, 0.8090),
            (10, 10, 0, 10, 0.6075, 1.0),
        ] {
            let people = People {
                in_journey: Group { customers: of, reached },
                holdout: Group { customers: of_other, reached: other },
            };
            let (_, interval) = people.difference().expect("two groups");
            assert!((interval.0 - low).abs() < 0.000_06, "{interval:?}");
            assert!((interval.1 - high).abs() < 0.000_06, "{interval:?}");
        }
        assert_eq!(People::default().difference(), None);
        assert_eq!(Group { customers: 5, reached: 0 }.rate(), Some(0.0));
    }
}
