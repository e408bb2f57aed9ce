//! Finds out what a draft asks, until it is a plan.
//!
//! Reads only. Questions of one round are answered side by side; a passing fault is tried again, a lasting one
//! becomes a finding that stops the plan, beside all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::cx::{Cx, World};
use crate::event::Event;
use crate::fault::{Class, Fault};
use crate::finding::Finding;
use crate::plan::moves::Moves;
use crate::plan::{Answer, Ask, Draft, Input, Question, Reality, draft};
use crate::resource::AnyResource;

/// The connected resource types, by name.
pub type Resources = BTreeMap<String, Arc<dyn AnyResource>>;

const TRIES: u32 = 4;

/// Plans: drafts, looks, and drafts again.
///
/// # Errors
/// The user asked to stop.
pub async fn refresh(
    input: &Input<'_>,
    resources: &Resources,
    world: &World,
) -> Result<(Draft, Reality), Fault> {
    let mut reality = Reality::new();
    let renamed = renamed(input, world);
    let world = renamed.as_ref().unwrap_or(world);
    loop {
        let drafted = draft(input, &reality);
        if drafted.questions.is_empty() {
            return Ok((drafted, reality));
        }
        let mut answers = drafted
            .questions
            .iter()
            .map(|question| async move {
                let answer = answer(question, input, resources, world).await;
                ((question.address.clone(), question.ask), answer)
            })
            .collect::<FuturesUnordered<_>>();
        while let Some((key, answer)) = answers.next().await {
            reality.insert(key, answer);
        }
        drop(answers);
        if world.cancel.is_cancelled() {
            return Err(Fault::new(
                Class::Interrupted,
                "stopped on request, before anything was done",
            ));
        }
    }
}

/// A world that recalls everything by its present address, where a resource was renamed.
fn renamed(input: &Input<'_>, world: &World) -> Option<World> {
    let state = Arc::new(Moves::of(input.spec, input.state).done(input.state)?);
    Some(world.clone().recalling(&state, &Arc::new(input.graph.clone())))
}

pub(crate) async fn answer(
    question: &Question,
    input: &Input<'_>,
    resources: &Resources,
    world: &World,
) -> Answer {
    let Some(resource) = resources.get(&question.type_name) else {
        let message = format!("no provider is connected for `{}`", question.type_name);
        return Answer::Failed(Finding::error("PGF0201", message));
    };
    let cx = Cx::new(world.clone(), question.address.clone(), "reading");
    let looks = matches!(question.ask, Ask::Read | Ask::Find);
    if looks {
        world.sink.event(Event::Reading { address: question.address.clone() });
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match look(question, input, resource.as_ref(), &cx).await {
            Ok(answer) => {
                if let Answer::Live(live) = &answer {
                    let id = live.as_ref().map(|live| live.id.clone());
                    world.sink.event(Event::Read { address: question.address.clone(), id });
                }
                return answer;
            }
            Err(fault) => {
                if let Some(wait) = fault.wait(tries)
                    && tries < TRIES
                    && cx.sleep(wait).await.is_ok()
                {
                    continue;
                }
                let mut finding = Finding::error(fault.code.unwrap_or("PGF0201"), fault.uncoded());
                finding.help = fault.help;
                return Answer::Failed(finding);
            }
        }
    }
}

async fn look(
    question: &Question,
    input: &Input<'_>,
    resource: &dyn AnyResource,
    cx: &Cx,
) -> Result<Answer, Fault> {
    let Question { want, remembered, intent, .. } = question;
    Ok(match question.ask {
        Ask::Read => Answer::Live(resource.read(cx, want, remembered.as_ref()).await?),
        Ask::Find => Answer::Live(resource.find(cx, want).await?),
        Ask::Expand => Answer::Expanded(resource.expand(cx, want).await?),
        Ask::Settle => match intent {
            Some(intent) => Answer::Settled(resource.settle(cx, intent).await?),
            None => return Err(Fault::bug("an operation without an intent")),
        },
        Ask::Lost => {
            let remembered = remembered.clone().unwrap_or_default();
            let lost = resource.lost(cx, want, &remembered).await;
            Answer::Lost(lost.map_err(|fault| fault.chain()))
        }
        Ask::Inspect => {
            let facts = resource.inspect(cx, want, remembered.as_ref()).await?;
            let findings = facts
                .as_ref()
                .map(|facts| resource.judge(want, facts, &input.options.confirmed))
                .unwrap_or_default();
            let bytes = facts.as_ref().and_then(|facts| resource.size(facts));
            Answer::Inspected { known: facts.is_some(), findings, bytes }
        }
    })
}
