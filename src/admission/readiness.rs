//! Whether this server should be sent reviews, and if not, why.

use std::fmt::Write as _;
use std::sync::Arc;

use super::metrics::Metrics;

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Named checks, all of which have to hold.
pub struct Readiness {
    checks: Vec<(&'static str, Check)>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.checks.iter().map(|(name, _)| name))
            .finish()
    }
}

/// What came of the checks.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether all held.
    pub ready: bool,
    /// One line a check, worded as Kubernetes' own `/readyz?verbose` does.
    pub text: String,
}

impl Readiness {
    /// Ready until a check says otherwise.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Readiness {
            checks: Vec::new(),
            metrics,
        }
    }

    /// Adds a check; its error says what to do about it.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.add(name, check);
        self
    }

    /// Adds a check; its error says what to do about it.
    pub fn add(
        &mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks.push((name, Box::new(check)));
    }

    /// Runs all checks.
    pub fn report(&self) -> Report {
        let mut ready = true;
        let mut text = String::new();
        for (name, check) in &self.checks {
            // Writing to a string cannot fail.
            let _ = match check() {
                Ok(()) => writeln!(text, "[+]{name} ok"),
                Err(why) => {
                    ready = false;
                    writeln!(text, "[-]{name} failed: {why}")
                }
            };
        }
        text.push_str(if ready {
            "readyz check passed\n"
        } else {
            "readyz check failed\n"
        });
        self.metrics.ready.set(i64::from(ready));
        Report { ready, text }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_check_fails_all_and_is_named() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let readiness = Readiness::new(Arc::clone(&metrics))
            .with("certificate", || Ok(()))
            .with("namespaces", || Err("not listed yet".into()));
        let report = readiness.report();
        assert!(!report.ready);
        assert_eq!(
            report.text,
            "[+]certificate ok\n[-]namespaces failed: not listed yet\nreadyz check failed\n"
        );
        assert_eq!(metrics.ready.get(), 0);
    }

    #[test]
    fn ready_where_all_hold() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let report = Readiness::new(Arc::clone(&metrics))
            .with("certificate", || Ok(()))
            .report();
        assert!(report.ready);
        assert_eq!(metrics.ready.get(), 1);
    }
}
