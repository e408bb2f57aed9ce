//! Staging goes after use: written down before and after, tried again, and no failure of what it served.

use crate::apply::retries::Retries;
use crate::cx::Cx;
use crate::fault::{Class, Fault};
use crate::plan::Action;
use crate::resource::Remembered;
use crate::state::{Record, Removal};
use crate::tree::Tree;

use super::{Acting, Ended, Stop};

impl Acting {
    pub(super) async fn remove_after_use(&self) -> Result<Ended, Stop> {
        let cx = self.cx("destroying");
        let Some(remembered) = self.remembered() else {
            return Ok(Ended::Done { handle: None, action: None });
        };
        let (want, _) = self.want(false).await?;
        let record = |removal| Record::Removal { address: self.address.clone(), removal };
        self.append(&record(Removal::Begun)).await?;
        self.started(&cx, Some(&remembered.id));
        match self.try_to_remove(&cx, &want, &remembered).await {
            Ok(()) => {
                self.append(&record(Removal::Done)).await?;
                self.succeeded(&cx, None);
                Ok(Ended::Done { handle: None, action: Some(Action::Delete) })
            }
            Err(fault) => {
                let help = fault.help.clone().unwrap_or_else(|| {
                    "what it was made for is done; the next apply removes it".to_owned()
                });
                // Not known is as good as not done: it is repeated.
                let class = match fault.class {
                    Class::Unknown | Class::StillRunning => Class::Failed,
                    class => class,
                };
                Err(self.reported(&cx, Fault { class, ..fault }.help(help)).into())
            }
        }
    }

    async fn try_to_remove(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: &Remembered,
    ) -> Result<(), Fault> {
        let mut retries = Retries::default();
        // Repeatable, whatever the last try got done.
        while let Err(fault) = self.resource.remove_after_use(cx, want, remembered).await {
            retries.again(cx, fault).await?;
        }
        Ok(())
    }
}
