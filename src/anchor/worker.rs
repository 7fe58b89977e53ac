//! One turn for one pair: look at it, ask the rules, take the steps.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::events::Events;
use super::index::{Index, Known, Side};
use super::limits::{Bucket, Patience};
use super::manifest::Owner;
use super::metrics::Metrics;
use super::pair::{Assessment, Note, Pair, Reason, Step};
use super::queue::{Key, Queue, Turn};
use super::recipe::Recipe;
use super::rules::Rules;
use super::view::{Anchor, Hp, Identity};
use super::writer::{WriteError, Writer};
use crate::cluster::Chain;
use crate::cluster::failure::Failure;

/// How soon a pair is looked at again that changed while it was being looked at.
const SOON: Duration = Duration::from_millis(50);

/// How soon after a write that was not made since this instance did not lead. A renewal that came late
/// shuts the fence for a moment only, and nobody else would bring the pair back; who leads no longer
/// has its queue closed.
const DEPOSED: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Debug)]
pub struct Worker {
    /// The pairs.
    pub index: Arc<Index>,
    /// The pairs that wait.
    pub queue: Arc<Queue>,
    /// The requests.
    pub writer: Writer,
    /// What is told.
    pub events: Arc<Events>,
    /// The numbers of a pair's life.
    pub rules: Rules,
    /// How fast HP pods may be deleted.
    pub replacing: Bucket,
    /// How often for the same controller.
    pub patience: Patience,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl Known {
    fn pair(&self) -> Pair<'_> {
        Pair {
            hp: self.hp.as_deref(),
            anchor: self.anchor.as_deref(),
            refused: self.refused.as_deref(),
        }
    }
}

/// How a step ended.
enum Taken {
    /// As it should.
    Done,
    /// Nothing was done; again after so long.
    Later(Duration),
    /// The API server is against it, for this reason: the rules are asked again with it.
    Refused(String),
    /// The pair is not what the step was decided on.
    Stale,
    /// It failed.
    Failed,
    /// Another instance leads.
    Deposed,
}

impl Worker {
    /// Takes turns for as long as it is polled.
    pub async fn work(&self) {
        loop {
            let key = self.queue.take().await;
            self.metrics
                .queue_depth
                .set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
            let turn = self.turn(&key).await;
            if turn == Turn::Failed {
                self.metrics.retries.inc();
            }
            self.queue.done(&key, turn);
        }
    }

    async fn turn(&self, key: &Key) -> Turn {
        let mut known = self.index.get(key);
        let mut assessment = self.assess(&known);
        let certain = assessment.wants_certainty(&known.pair());
        if certain {
            match self.read(key, &known).await {
                Ok(now) => known = now,
                Err(error) => return Self::failed(&known, "read", &error),
            }
            assessment = self.assess(&known);
        }
        self.index.set_state(key, Some(assessment.state));
        let mut again = assessment.again;
        let mut unwell = false;
        let mut steps = std::mem::take(&mut assessment.steps).into_iter();
        while let Some(step) = steps.next() {
            match self.step(key, &mut known, step).await {
                Taken::Done => {}
                Taken::Later(wait) => again = Some(again.map_or(wait, |again| again.min(wait))),
                Taken::Stale => return Turn::Done(Some(SOON)),
                Taken::Failed => return Turn::Failed,
                Taken::Deposed => return Turn::Done(Some(DEPOSED)),
                Taken::Refused(why) => {
                    unwell = true;
                    self.index.set_refused(key, &why);
                    known.refused = Some(why.into());
                    let rest = self.assess(&known).steps.into_iter();
                    let rest = rest.filter(|step| match step {
                        Step::HpGate(_) | Step::Say(_) => true,
                        // Overdue, and seen so on the reads just made.
                        Step::Replace(_) => certain,
                        _ => false,
                    });
                    steps = rest.collect::<Vec<_>>().into_iter();
                }
            }
        }
        if unwell {
            return Turn::Failed;
        }
        if self.queue.hold(key).is_none() {
            self.queue.recovered(key);
        }
        Turn::Done(again)
    }

    fn assess(&self, known: &Known) -> Assessment {
        known.pair().assess(&self.rules, Timestamp::now())
    }

    /// Both pods as they are now.
    async fn read(&self, key: &Key, known: &Known) -> Result<Known, WriteError> {
        let place = match (&known.hp, &known.anchor) {
            (Some(hp), _) => Some((&hp.id.namespace, &hp.id.name)),
            (None, Some(anchor)) => Some((&anchor.id.namespace, &anchor.owner)),
            (None, None) => None,
        };
        let Some((namespace, name)) = place else {
            return Ok(Known::default());
        };
        let hp = self.writer.read(namespace, name).await?;
        let hp = hp.filter(|pod| pod.metadata.uid.as_deref() == Some(key));
        let anchor = self.writer.read(namespace, &super::name(name, key)).await?;
        let anchor = anchor.as_ref().and_then(Anchor::of);
        Ok(Known {
            hp: hp.as_ref().and_then(Hp::of).map(Box::new),
            anchor: anchor
                .filter(|anchor| *anchor.owner_uid == **key)
                .map(Box::new),
            refused: known.refused.clone(),
        })
    }

    async fn step(&self, key: &Key, known: &mut Known, step: Step) -> Taken {
        match step {
            Step::Create => match &known.hp {
                Some(hp) => self.create(key, hp).await,
                None => Taken::Stale,
            },
            Step::Delete(grace) => match &known.anchor {
                Some(anchor) => match self.writer.delete(&anchor.id, grace).await {
                    // It is gone already: the watch will say so.
                    Err(WriteError::Api(error)) if Failure::of(&error) == Failure::NotFound => {
                        Taken::Done
                    }
                    answer => Self::taken(known, "delete the anchor", answer),
                },
                None => Taken::Stale,
            },
            Step::Publish(status) => {
                let Some(hp) = &known.hp else {
                    return Taken::Stale;
                };
                let answer = self.writer.publish(&hp.id, &status).await;
                self.rewritten(known, Side::Hp, "publish the anchor's status", answer)
            }
            Step::HpGate(gate) => {
                let Some(hp) = &known.hp else {
                    return Taken::Stale;
                };
                let answer = self.writer.hp_gate(&hp.id, hp.gate.as_ref(), &gate).await;
                self.rewritten(known, Side::Hp, "set the pod's gate", answer)
            }
            Step::AnchorGate(gate) => {
                let Some(anchor) = &known.anchor else {
                    return Taken::Stale;
                };
                let answer = self
                    .writer
                    .anchor_gate(&anchor.id, anchor.gate.as_ref(), &gate)
                    .await;
                self.rewritten(known, Side::Anchor, "set the anchor's gate", answer)
            }
            Step::Replace(why) => self.replace(known, &why).await,
            Step::Say(note) => {
                if let Some(hp) = &known.hp {
                    self.events.say(&hp.id, &note);
                }
                Taken::Done
            }
        }
    }

    async fn create(&self, key: &Key, hp: &Hp) -> Taken {
        if let Some(left) = self.queue.hold(key) {
            return Taken::Later(left);
        }
        let recipe = match self.index.take_recipe(key) {
            Some(recipe) => recipe,
            None => match self.recipe(key, hp).await {
                Ok(recipe) => recipe,
                Err(taken) => return taken,
            },
        };
        let Some(node) = hp.node.as_deref() else {
            return Taken::Stale;
        };
        let owner = Owner {
            name: &hp.id.name,
            uid: key,
            node,
        };
        let answer = self
            .writer
            .create(&hp.id.namespace, recipe.body(&owner))
            .await;
        let name = super::name(&hp.id.name, key);
        match answer {
            Ok(pod) => {
                self.index.observe(Side::Anchor, &pod);
                if let Some(seconds) = self.index.waited(key) {
                    self.metrics.bound_to_created.observe(seconds);
                }
                let note = Note::normal(Reason::Created, format!("Created the anchor {name}."));
                self.events.say(&hp.id, &note);
                Taken::Done
            }
            Err(WriteError::Api(error)) => match Failure::of(&error) {
                Failure::Exists => self.adopt(key, hp, &name).await,
                // The namespace goes, and the HP pod with it (`lifecycle` admission).
                Failure::Refused if error.to_string().contains("it is being terminated") => {
                    Taken::Failed
                }
                Failure::Refused | Failure::Forbidden => self.refuse(hp, said(error)),
                _ => Self::taken(
                    &Known::default(),
                    "create the anchor",
                    Err::<(), _>(error.into()),
                ),
            },
            Err(error) => Self::taken(&Known::default(), "create the anchor", Err::<(), _>(error)),
        }
    }

    /// The recipe, from the whole HP pod, of which the index keeps only a view.
    async fn recipe(&self, key: &Key, hp: &Hp) -> Result<Recipe, Taken> {
        let known = Known::default();
        let pod = match self
            .writer
            .read_lightly(&hp.id.namespace, &hp.id.name)
            .await
        {
            Ok(Some(pod)) if pod.metadata.uid.as_deref() == Some(key) => pod,
            // The watch will say so.
            Ok(_) => return Err(Taken::Stale),
            Err(error) => return Err(Self::taken(&known, "read the pod", Err::<(), _>(error))),
        };
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(Taken::Stale);
        }
        Recipe::of(&pod).map_err(|error| self.refuse(hp, error.to_string()))
    }

    /// A pod of the anchor's name is there already: ours, if the HP pod owns it.
    async fn adopt(&self, key: &Key, hp: &Hp, name: &str) -> Taken {
        match self.writer.read(&hp.id.namespace, name).await {
            Ok(Some(pod)) => match Anchor::of(&pod) {
                Some(anchor) if *anchor.owner_uid == **key => {
                    self.index.observe(Side::Anchor, &pod);
                    Taken::Stale
                }
                _ => self.refuse(hp, format!(
                    "a pod of the name {name} exists and is not this pod's anchor: delete or rename it"
                )),
            },
            Ok(None) => Taken::Stale,
            Err(error) => Self::taken(&Known::default(), "read the anchor", Err::<(), _>(error)),
        }
    }

    fn refuse(&self, hp: &Hp, why: String) -> Taken {
        let text = format!("The anchor cannot be created: {why}");
        self.events
            .say(&hp.id, &Note::warning(Reason::Refused, text));
        Taken::Refused(why)
    }

    /// Has the HP pod's controller make another one. The views are from reads just made.
    async fn replace(&self, known: &mut Known, why: &str) -> Taken {
        let Some(hp) = known.hp.as_deref() else {
            return Taken::Stale;
        };
        let Some(controller) = &hp.controller else {
            return Taken::Stale;
        };
        if known.refused.is_some() || matches!(hp.published, super::view::Published::Nothing) {
            // Its anchor never ran, and may not for the next one either.
            if let Err(wait) = self.patience.take(controller, self.rules.replace_deadline) {
                return Taken::Later(wait);
            }
        }
        if let Err(wait) = self.replacing.take() {
            return Taken::Later(wait);
        }
        if !hp.disrupted {
            let answer = self
                .writer
                .disrupt(&hp.id, Reason::Lost.as_str(), why)
                .await;
            match self.rewritten(known, Side::Hp, "mark the pod as disrupted", answer) {
                Taken::Done => {}
                other => return other,
            }
        }
        let Some(hp) = known.hp.as_deref() else {
            return Taken::Stale;
        };
        let answer = self.writer.replace(&hp.id).await;
        if answer.is_ok() {
            self.metrics.replaced.inc();
            let text = format!("Deleted for its controller to make another: {why}.");
            self.events
                .say(&hp.id, &Note::warning(Reason::Replaced, text));
        }
        Self::taken(known, "delete the pod", answer)
    }

    /// A pod was written: the next step is made on what it is now.
    fn rewritten(
        &self,
        known: &mut Known,
        side: Side,
        what: &'static str,
        answer: Result<Pod, WriteError>,
    ) -> Taken {
        match answer {
            Ok(pod) => {
                self.index.observe(side, &pod);
                match side {
                    Side::Hp => known.hp = Hp::of(&pod).map(Box::new),
                    Side::Anchor => known.anchor = Anchor::of(&pod).map(Box::new),
                }
                Taken::Done
            }
            Err(error) => Self::taken(known, what, Err::<(), _>(error)),
        }
    }

    fn taken<T>(known: &Known, what: &'static str, answer: Result<T, WriteError>) -> Taken {
        match answer {
            Ok(_) => Taken::Done,
            Err(WriteError::NotLeading) => Taken::Deposed,
            Err(WriteError::Api(error))
                if matches!(Failure::of(&error), Failure::Conflict | Failure::NotFound) =>
            {
                Taken::Stale
            }
            Err(error) => {
                Self::failed(known, what, &error);
                Taken::Failed
            }
        }
    }

    fn failed(known: &Known, what: &'static str, error: &WriteError) -> Turn {
        let id: Option<&Identity> = known.hp.as_ref().map(|hp| &hp.id);
        let id = id.or(known.anchor.as_ref().map(|anchor| &anchor.id));
        tracing::warn!(
            namespace = id.map(|id| &*id.namespace),
            pod = id.map(|id| &*id.name),
            error = %Chain(error),
            "cannot {what}; trying again"
        );
        match error {
            WriteError::NotLeading => Turn::Done(Some(DEPOSED)),
            _ => Turn::Failed,
        }
    }
}

/// What the API server said, without kube's words around it.
fn said(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}
