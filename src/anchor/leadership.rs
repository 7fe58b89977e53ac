//! Who leads: one of the instances, by a Lease.
//!
//! The election is `kube-lease-manager`'s. Its word alone is not enough: it says once that this
//! instance leads, and an instance that was frozen, or cut off from the API server, would go on
//! believing it. So there is a fence. The leader reads the Lease back and leads only until the renewal
//! that it finds there, its own and by its own clock, runs out; every write asks the fence first.
//!
//! The manager's patience is not enough either (kube-lease-manager 0.13, `manager.rs`): it waits up to
//! 30 s after errors, which it counts over all of its life; it never makes a Lease again that was
//! deleted; and a request that gets no answer holds it up for as long as the kernel does. So whoever
//! should have renewed the Lease and did not is not waited for: this instance's manager is made anew.
//!
//! What is left is a write that passed the fence, was then frozen, and wakes after another instance
//! took over. It can do no harm, because no write depends on being the only one: anchors have one
//! possible name, deletes name the UID, and all else names the version of what it was decided on
//! ([`super::writer`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::Chain;

/// The shortest lease, in seconds: it is renewed in a third of that.
pub const SHORTEST_LEASE_SECONDS: u64 = 3;
/// How long the Lease may take to be given back on the way down.
const RELEASE: Duration = Duration::from_secs(2);

/// Whether this instance may write.
#[derive(Debug)]
pub struct Fence {
    until: Mutex<Option<Instant>>,
}

impl Fence {
    /// Shut.
    pub fn shut() -> Self {
        Fence {
            until: Mutex::new(None),
        }
    }

    /// Whether this instance leads at this very moment.
    pub fn is_open(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn open_until(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Which Lease, and for how long.
#[derive(Clone, Debug)]
pub struct Election {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// This instance, unlike every other.
    pub identity: String,
    /// How long leadership lasts without a renewal, in seconds, at least
    /// [`SHORTEST_LEASE_SECONDS`].
    pub seconds: u64,
}

impl Election {
    /// Takes part for as long as it is polled; says on `leads` who leads. On `stop` the Lease is given
    /// back, so that another instance need not wait for its end.
    pub async fn run(
        self,
        client: Client,
        fence: &Fence,
        leads: watch::Sender<bool>,
        mut stop: watch::Receiver<bool>,
    ) {
        let lease: Api<Lease> = Api::namespaced(client.clone(), &self.namespace);
        while !*stop.borrow() {
            // A request that gets no answer must not keep this instance from ever trying again, nor
            // from ending.
            let limit = Duration::from_secs(self.seconds());
            let manager = tokio::select! {
                manager = tokio::time::timeout(limit, self.manager(client.clone())) => manager,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let error = match manager {
                Ok(Ok(manager)) => {
                    self.campaign(manager, &lease, fence, &leads, &mut stop)
                        .await;
                    continue;
                }
                Ok(Err(error)) => Chain(&error).to_string(),
                Err(_) => format!("no answer within {} s", limit.as_secs()),
            };
            tracing::warn!(lease = %self.name, namespace = %self.namespace, error, "cannot have the Lease; trying again");
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Takes part through one manager: until it is told to stop, or the manager neglects the Lease.
    async fn campaign(
        &self,
        manager: LeaseManager,
        lease: &Api<Lease>,
        fence: &Fence,
        leads: &watch::Sender<bool>,
        stop: &mut watch::Receiver<bool>,
    ) {
        let (mut elected, mut task) = manager.watch().await;
        // It is given the time to do better than the one before it.
        let judged_from = Instant::now() + Duration::from_secs(self.seconds()) / 3;
        let mut led = false;
        let stopped = loop {
            let chosen = *elected.borrow_and_update();
            // A manager that has just begun does not know yet: it may be its own Lease still.
            if led && !chosen {
                fence.open_until(None);
                leads.send_if_modified(|leads| std::mem::replace(leads, false));
            }
            led = chosen;
            tokio::select! {
                changed = elected.changed() => if changed.is_err() { break false },
                _ = stop.wait_for(|stop| *stop) => break true,
                () = self.watch_lease(chosen, judged_from, lease, fence, leads) => break false,
            }
        };
        if stopped {
            fence.open_until(None);
            leads.send_if_modified(|leads| std::mem::replace(leads, false));
            drop(elected);
            let _ = tokio::time::timeout(RELEASE, &mut task).await;
        }
        // If it is not done, it hangs. The fence stands as it is: it shuts by itself.
        task.abort();
    }

    async fn manager(&self, client: Client) -> Result<LeaseManager, LeaseManagerError> {
        // Renewed when a third of it is over, so that two more tries fit in.
        let seconds = self.seconds();
        LeaseManagerBuilder::new(client, &self.name)
            .with_namespace(&self.namespace)
            .with_identity(&self.identity)
            .with_field_manager(format!("native-host-{}", self.identity))
            .with_duration(seconds)
            .with_grace(seconds - seconds / 3)
            .build()
            .await
    }

    /// Reads the Lease back, again and again, and keeps the fence by it. Returns once the Lease is
    /// neglected.
    async fn watch_lease(
        &self,
        chosen: bool,
        judged_from: Instant,
        lease: &Api<Lease>,
        fence: &Fence,
        leads: &watch::Sender<bool>,
    ) {
        let pause = Duration::from_secs(self.seconds()) / 6;
        loop {
            // A manager that has just begun asks first.
            if !chosen {
                tokio::time::sleep(pause).await;
            }
            let neglected = match tokio::time::timeout(pause * 2, lease.get_opt(&self.name)).await {
                Ok(Ok(lease)) => {
                    let now = Timestamp::now();
                    if chosen {
                        let until = lease.as_ref().and_then(|lease| self.lead_until(lease, now));
                        fence.open_until(until);
                    }
                    self.is_neglected(lease.as_ref(), now)
                }
                Ok(Err(error)) => {
                    tracing::debug!(error = %Chain(&error), "cannot read the Lease");
                    false
                }
                Err(_) => {
                    tracing::debug!("reading the Lease takes too long");
                    false
                }
            };
            let open = fence.is_open();
            leads.send_if_modified(|leads| std::mem::replace(leads, open) != open);
            if neglected && Instant::now() >= judged_from {
                tracing::info!(lease = %self.name, namespace = %self.namespace, "the Lease is not held or not renewed; trying anew");
                return;
            }
            if chosen {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Whether nobody holds the Lease, or who holds it is late: this instance by more than it takes to
    /// try twice, another by the whole of its term.
    fn is_neglected(&self, lease: Option<&Lease>, now: Timestamp) -> bool {
        let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else {
            return true;
        };
        let (Some(holder), Some(renewed)) = (&spec.holder_identity, &spec.renew_time) else {
            return true;
        };
        let age = Duration::try_from(now.duration_since(renewed.0)).unwrap_or_default();
        let term = Duration::from_secs(self.seconds());
        age > if *holder == self.identity {
            term * 2 / 3
        } else {
            term * 2
        }
    }

    fn seconds(&self) -> u64 {
        self.seconds.max(SHORTEST_LEASE_SECONDS)
    }

    /// Until when this instance leads, by a Lease as it was just read.
    fn lead_until(&self, lease: &Lease, now: Timestamp) -> Option<Instant> {
        let spec = lease.spec.as_ref()?;
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return None;
        }
        // It was this instance that wrote the time, so its own clock is the one to compare with.
        let renewed = spec.renew_time.as_ref()?.0;
        let seconds = u64::try_from(spec.lease_duration_seconds?).ok()?;
        let age = Duration::try_from(now.duration_since(renewed)).unwrap_or_default();
        let left = Duration::from_secs(seconds).checked_sub(age)?;
        Some(Instant::now() + left)
    }
}

/// What this instance is called in the Lease: its pod's name, and something that no other process
/// of that name has.
pub fn identity(host: Option<&str>) -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{}_{random:016x}", host.unwrap_or("native-host"))
}

/// Shares a fence.
pub type SharedFence = Arc<Fence>;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    fn election() -> Election {
        Election {
            namespace: "native-host".into(),
            name: "native-host".into(),
            identity: "me".into(),
            seconds: 10,
        }
    }

    fn lease(holder: &str, renewed: &str) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                renew_time: Some(MicroTime(renewed.parse().unwrap())),
                lease_duration_seconds: Some(10),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leads_until_its_own_renewal_runs_out() {
        let now: Timestamp = "2026-11-21T10:00:04Z".parse().unwrap();
        let until = election().lead_until(&lease("me", "2026-11-21T10:00:00Z"), now);
        assert_eq!(until, Some(Instant::now() + Duration::from_secs(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn leads_not_by_another_ones_lease_nor_by_an_old_one() {
        let now: Timestamp = "2026-11-21T10:00:11Z".parse().unwrap();
        assert_eq!(
            election().lead_until(&lease("you", "2026-11-21T10:00:10Z"), now),
            None
        );
        assert_eq!(
            election().lead_until(&lease("me", "2026-11-21T10:00:00Z"), now),
            None
        );
        assert_eq!(election().lead_until(&Lease::default(), now), None);
    }

    #[test]
    fn a_lease_is_neglected_that_nobody_holds_or_renews() {
        let election = election();
        let neglected =
            |lease: Option<&Lease>, now: &str| election.is_neglected(lease, now.parse().unwrap());
        assert!(neglected(None, "2026-11-21T10:00:00Z"));
        assert!(neglected(Some(&Lease::default()), "2026-11-21T10:00:00Z"));
        // Its own: renewed every 3 s, so two tries failed by now.
        let own = lease("me", "2026-11-21T10:00:00Z");
        assert!(!neglected(Some(&own), "2026-11-21T10:00:06Z"));
        assert!(neglected(Some(&own), "2026-11-21T10:00:07Z"));
        // Another one's: the manager takes it when it runs out; if it does not, it hangs.
        let other = lease("you", "2026-11-21T10:00:00Z");
        assert!(!neglected(Some(&other), "2026-11-21T10:00:19Z"));
        assert!(neglected(Some(&other), "2026-11-21T10:00:21Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fence_shuts_by_itself() {
        let fence = Fence::shut();
        assert!(!fence.is_open());
        fence.open_until(Some(Instant::now() + Duration::from_secs(6)));
        assert!(fence.is_open());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(!fence.is_open());
    }

    #[test]
    fn two_instances_of_one_name_differ() {
        assert_ne!(identity(Some("a")), identity(Some("a")));
        assert!(identity(Some("a")).starts_with("a_"));
    }
}
