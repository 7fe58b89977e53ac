//! One turn for one Service: what it asks for, who may be published, how they are; then the fewest writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;

use super::board::Board;
use super::endpoints::{Allowed, Candidates, candidates, endpoints};
use super::index::{Index, Rails};
use super::metrics::{self, Metrics, Share, State};
use super::prober::Probes;
use super::ranges::Ranges;
use super::slices::{Owner, Published, writes};
use super::spec::{Source, Spec, read};
use super::words;
use super::writer::{Writer, Written};
use crate::anchor::events::Events;
use crate::anchor::pair::{Note, Reason};
use crate::anchor::queue::{Key, Queue, Turn};
use crate::anchor::view::Identity;
use crate::anchor::writer::WriteError;
use crate::cluster::Chain;
use crate::cluster::failure::Failure;
use crate::plan::sheet::Refusal;

/// Between a change and the turn for it: those that come with it are one write.
const SETTLE: Duration = Duration::from_millis(150);
/// Between two looks for other people's slices of a Service, which nobody watches.
pub const LOOK: Duration = Duration::from_secs(300);
/// How long a worker sleeps that found that this instance leads no longer.
const DEPOSED: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Debug)]
pub struct Worker {
    /// What the watches show.
    pub index: Arc<Index>,
    /// What is to be looked at.
    pub queue: Arc<Queue>,
    /// How the addresses are.
    pub board: Arc<Board>,
    /// What asks them.
    pub probes: Probes,
    /// The cluster's own networks.
    pub ranges: Arc<Ranges>,
    /// What writes.
    pub writer: Writer,
    /// What tells.
    pub events: Arc<Events>,
    /// What counts.
    pub metrics: Arc<Metrics>,
    /// What each Service adds to the gauges.
    pub shares: Shares,
}

/// What each Service adds to the gauges; dropping it takes all of it away.
#[derive(Debug)]
pub struct Shares {
    metrics: Arc<Metrics>,
    all: Mutex<HashMap<Key, Share>>,
}

impl Shares {
    /// Nothing yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let all = Mutex::default();
        Shares { metrics, all }
    }

    fn set(&self, key: &Key, share: Share) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let old = all.insert(Arc::clone(key), share).unwrap_or_default();
        self.metrics.moved(&old, &share);
        if share.state.is_none() {
            all.remove(key);
        }
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        let all = self.all.get_mut().unwrap_or_else(PoisonError::into_inner);
        for share in all.values() {
            self.metrics.moved(share, &Share::default());
        }
    }
}

/// A turn that could not be finished.
enum Unfinished {
    /// Something failed that is tried again.
    Failed,
    /// This instance leads no longer.
    Deposed,
}

impl Worker {
    /// Takes Services and looks at them, for as long as it is polled.
    pub async fn work(&self) {
        loop {
            let key = self.queue.take().await;
            if let Some(wait) = self.queue.hold(&key) {
                self.queue.done(&key, Turn::Done(Some(wait)));
                continue;
            }
            tokio::time::sleep(SETTLE).await;
            let turn = match self.turn(&key).await {
                Ok(()) => {
                    self.queue.recovered(&key);
                    Turn::Done(self.index.service(&key).map(|_| LOOK))
                }
                Err(Unfinished::Failed) => Turn::Failed,
                Err(Unfinished::Deposed) => Turn::Done(Some(DEPOSED)),
            };
            self.queue.done(&key, turn);
        }
    }

    async fn turn(&self, key: &Key) -> Result<(), Unfinished> {
        let Some(service) = self.index.service(key) else {
            return self.abandon(key).await;
        };
        let Some((owner, id)) = identity(&service) else {
            return Ok(());
        };
        let published = self.index.published(key);
        let spec = match read(&service) {
            Ok(spec) => spec,
            Err(problems) => {
                self.tell(&id, &words::refused(&Refusal { problems }));
                return self.refuse(key, &owner, &published).await;
            }
        };
        let Some(rails) = self.index.rails(&owner.namespace) else {
            // A namespace that is gone, or came a moment ago: its watch will say.
            return Ok(());
        };
        let serving = serving(&owner, &published);
        let found = self.candidates(&spec, &rails, &serving, &id);
        let addresses: BTreeSet<IpAddr> = found.all.keys().copied().collect();
        let ready = serving
            .iter()
            .filter(|(_, serving)| **serving)
            .map(|(address, _)| *address)
            .collect();
        let standing = self
            .board
            .stand(key, &owner.uid, spec.pace, &addresses, &ready);
        let new = addresses
            .iter()
            .filter(|address| !serving.contains_key(address))
            .copied()
            .collect();
        self.probes
            .keep(key, &spec.probe, spec.pace, &addresses, &new);
        let wanted = endpoints(
            &spec,
            &found.all,
            |address| standing.up.contains(&address),
            &standing.last_ready,
        );
        let now_ready: BTreeSet<_> = wanted
            .iter()
            .filter(|one| one.serving)
            .map(|one| one.address)
            .collect();
        let writes = writes(&owner, &spec.ports, &wanted, &published);
        let changes = !writes.is_empty();
        for write in &writes {
            self.write(&owner, &id, write).await?;
        }
        if changes {
            let turned = words::turned(&serving, &wanted);
            self.metrics
                .turns
                .inc_by(u64::try_from(turned).unwrap_or(u64::MAX));
            for note in words::change(&serving, &wanted, &standing.why, &found, Timestamp::now()) {
                self.tell(&id, &note);
            }
        }
        self.board.are_ready(key, now_ready);
        self.share(key, &wanted, &found);
        self.look_for_others(key, &owner, &id).await;
        Ok(())
    }

    fn candidates(
        &self,
        spec: &Spec,
        rails: &Rails,
        serving: &BTreeMap<IpAddr, bool>,
        id: &Identity,
    ) -> Candidates {
        let (nodes, cluster) = (self.index.nodes(), self.ranges.all());
        let nodes = nodes.iter().map(|node| &**node);
        let (found, mut said) = match rails {
            Rails::Cidrs(cidrs) => {
                let found = candidates(spec, nodes, Allowed::Cidrs(cidrs), &cluster);
                let said = words::refused_addresses(&found.refused, cidrs);
                (found, said.into_iter().collect())
            }
            Rails::Invalid(errors) => {
                let there = serving.keys().copied().collect();
                let found = candidates(spec, nodes, Allowed::AsPublished(&there), &cluster);
                (found, vec![words::invalid_namespace(errors)])
            }
        };
        said.extend(words::without_address(&found.without_address));
        let none =
            found.all.is_empty() && found.refused.is_empty() && found.without_address.is_empty();
        if none && matches!(spec.source, Source::Nodes(_)) {
            said.push(words::no_node());
        }
        if !said.is_empty() {
            // One Event: two of one reason would take turns in being new.
            self.tell(id, &Note::warning(Reason::ExternalRefused, said.join(". ")));
        }
        found
    }

    /// Nothing of the Service is external any more, or the Service is gone: the garbage collector takes
    /// the slices of the latter, and those of the former are for us to take.
    async fn abandon(&self, key: &Key) -> Result<(), Unfinished> {
        self.probes.end(key);
        self.board.forget(key);
        self.shares.set(key, Share::default());
        let (namespace, name) = key.split_once('/').unwrap_or_default();
        let owner = Owner {
            namespace: namespace.into(),
            name: name.into(),
            uid: "".into(),
        };
        let id = id_of(&owner);
        for write in writes(&owner, &[], &[], &self.index.published(key)) {
            self.write(&owner, &id, &write).await?;
        }
        Ok(())
    }

    /// Publishes nothing of a Service that cannot be.
    async fn refuse(
        &self,
        key: &Key,
        owner: &Owner,
        published: &[Published],
    ) -> Result<(), Unfinished> {
        self.probes.end(key);
        self.board.forget(key);
        let share = Share {
            state: Some(State::Refused),
            ..Share::default()
        };
        self.shares.set(key, share);
        let id = id_of(owner);
        for write in writes(owner, &[], &[], published) {
            self.write(owner, &id, &write).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        owner: &Owner,
        id: &Identity,
        write: &super::slices::Write,
    ) -> Result<(), Unfinished> {
        match self.writer.write(&owner.namespace, write).await {
            Ok(Written::There(slice)) => {
                self.index.observe(&slice);
                Ok(())
            }
            Ok(Written::Gone(name, uid)) => {
                self.index
                    .forget(&format!("{}/{name}", owner.namespace), &uid);
                Ok(())
            }
            Err(WriteError::NotLeading) => Err(Unfinished::Deposed),
            Err(error) => {
                let failure = match &error {
                    WriteError::Api(error) => Some(Failure::of(error)),
                    _ => None,
                };
                match failure {
                    // The watch has not shown yet what is there. It comes again soon.
                    Some(Failure::Conflict | Failure::NotFound | Failure::Exists) => {}
                    Some(Failure::Refused | Failure::Forbidden) => {
                        let text = format!("The endpoints cannot be written: {}", Chain(&error));
                        self.tell(id, &Note::warning(Reason::ExternalRefused, text));
                    }
                    _ => tracing::warn!(
                        namespace = &*owner.namespace,
                        service = &*owner.name,
                        error = %Chain(&error),
                        "cannot write the endpoints; trying again"
                    ),
                }
                Err(Unfinished::Failed)
            }
        }
    }

    async fn look_for_others(&self, key: &Key, owner: &Owner, id: &Identity) {
        if !self.board.is_time_to_look(key, LOOK) {
            return;
        }
        match self.writer.foreign(&owner.namespace, &owner.name).await {
            Ok(slices) => {
                if let Some(note) = words::foreign_note(&slices) {
                    self.tell(id, &note);
                }
            }
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "cannot look for other EndpointSlices");
            }
        }
    }

    fn share(&self, key: &Key, wanted: &[super::endpoints::Endpoint], found: &Candidates) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let ready = wanted.iter().filter(|one| one.serving).count();
        let mut endpoints = [0; 3];
        endpoints[metrics::Standing::Ready as usize] = count(ready);
        endpoints[metrics::Standing::NotReady as usize] = count(wanted.len() - ready);
        endpoints[metrics::Standing::Refused as usize] = count(found.refused.len());
        let state = if ready > 0 { State::Ready } else { State::Down };
        let state = Some(state);
        self.shares.set(key, Share { state, endpoints });
    }

    fn tell(&self, id: &Identity, note: &Note) {
        if !id.uid.is_empty() {
            self.events.tell("Service", "v1", id, note);
        }
    }
}

/// Whether each published address of this Service serves, by what its slices say.
fn serving(owner: &Owner, published: &[Published]) -> BTreeMap<IpAddr, bool> {
    let ours = published
        .iter()
        .filter(|slice| slice.owner_uid == *owner.uid);
    let endpoints = ours.flat_map(|slice| &slice.endpoints);
    endpoints
        .map(|endpoint| (endpoint.address, endpoint.serving))
        .collect()
}

fn identity(service: &Service) -> Option<(Owner, Identity)> {
    let metadata = &service.metadata;
    let owner = Owner {
        namespace: metadata.namespace.as_deref()?.into(),
        name: metadata.name.as_deref()?.into(),
        uid: metadata.uid.as_deref()?.into(),
    };
    let id = id_of(&owner);
    Some((owner, id))
}

fn id_of(owner: &Owner) -> Identity {
    Identity {
        namespace: Arc::clone(&owner.namespace),
        name: Arc::clone(&owner.name),
        uid: Arc::clone(&owner.uid),
        version: "".into(),
    }
}
