"""One new defect type, from pictures to an active engine: the steps, each a call that can be run alone and again."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from calibration import gather_steps, teach_steps
from calibration.candidate import golden_set
from calibration.desk import Desk
from calibration.prove_step import prove
from calibration.work import chained, now, who
from engines.store.folder import EngineStore
from engines.store.offer import Offer, offer_onnx
from engines.store.pair import activate_together

_STEPS: Mapping[str, Callable[[Desk], dict[str, Any]]] = {
    "collect": gather_steps.collect,
    "check": gather_steps.check,
    "assist": gather_steps.assist,
    "split": gather_steps.split,
    "augment": gather_steps.augment,
    "teach": teach_steps.teach,
    "calibrate": teach_steps.calibrate,
    "prove": prove,
}
STEPS = (*_STEPS, "activate")


@dataclass
class Teaching:
    """Runs the steps of one wish on one desk. The caller holds the work folder (``WorkFolder.held``)."""

    desk: Desk
    store: EngineStore | None = None
    _chain: str = ""
    _said: dict[str, dict[str, Any]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Makes the features of the old pictures, once per engine; lessons with the same cache find them."""
        gather_steps.collect(self.desk)
        _, old = self.desk.read_pictures("collect.json")
        for backbone in self.desk.backbones:
            self.desk.bank(backbone, old, "old")

    def run(self, until: str = STEPS[-1], again: bool = False) -> dict[str, dict[str, Any]]:
        """All steps up to ``until``; those that are done from the same things are not done again, unless ``again``
        (the last one). Raises CalibrationError and EnginesError."""
        self.desk.check_name()
        self._chain = chained("", *self.desk.identity())
        for step in STEPS[: STEPS.index(until) + 1]:
            self._chain = chained(self._chain, step)
            said = None if again and step == until else self.desk.work.done(step, self._chain)
            if said is None:
                self.desk.work.note(step, "begun")
                self.desk.say(step, 0.0)
                said = self.activate() if step == "activate" else _STEPS[step](self.desk)
                self.desk.work.mark(step, self._chain, said)
            self.desk.say(step, 1.0)
            self._said[step] = said
        return self._said

    def activate(self) -> dict[str, Any]:
        """Into the engine store, signed and active, both engines or none; or nothing at all when refused."""
        if refused := self._said["prove"]["refused"]:
            return {"active": False, "refused": refused}
        if not self.desk.wish.activate:
            return {"active": False, "refused": []}
        store = self.store or EngineStore()
        stored = []
        for backbone in self.desk.backbones:
            role = backbone.manifest.role
            golden = golden_set(self.desk.work.root / f"candidate/{role}-golden.npz")
            offer = Offer(self.desk.work.root / f"candidate/{role}.yaml", golden, runs=60)
            stored.append(offer_onnx(store, offer, self.desk.say))
        before = activate_together(store, stored, f"taught {self.desk.wish.name}")
        audit = {
            "time": now(),
            "who": who(),
            "why": self.desk.wish.why,
            "new_class": self.desk.wish.name,
            "data_sha256": self._chain,
            "active": {item.entry.name: item.id for item in stored},
            "before": before,
        }
        self.desk.work.write("audit.json", json.dumps(audit, indent=1))
        return {"active": True, "refused": [], **audit}
