"""The steps between reading a file and marking its placement done, and those of everything else that changes truth or
disk: each by the dotted name of the function that does it. A process is killed right before and right after them.

Nothing in the package knows of this table. `test_every_step_names_a_function_that_exists` holds the two together: a
function that was renamed must fail there, and not silently never be killed at.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """target: "module:function" or "module:Class.function". caller: only calls from this module count.

    opens: the function is a context manager; before and after are those of its end, where it commits.
    """

    target: str
    caller: str = ""
    opens: bool = False


PACKAGE = "face_organizer"
PLACING_FILE, FILES, INDEX = (f"{PACKAGE}.adapters.{name}" for name in ("placing", "files", "index"))


def _steps(**targets: str) -> dict[str, Step]:
    return {name: Step(f"{PACKAGE}.{target}") for name, target in targets.items()}


OPENING = _steps(
    lock_taken="adapters.lock:LibraryLock.__init__",
    store_opened="adapters.store:open_store",
    store_agreed="adapters.schema:agree",
    settings_noted="app.opening:_remembering",
    index_opened="pipeline.keep_index:IndexKeeper.open",
    index_loaded="adapters.index:FaceIndex.load",
    socket_bound="adapters.control:ControlServer.__init__",
    socket_removed="adapters.control:ControlServer.stop",
)
SORTING = {
    **_steps(
        file_noticed="adapters.inbox:FolderInbox.signature",
        file_submitted="pipeline.flow:Pipeline.submit",
        file_read="adapters.reading:read_settled",
        image_decoded="pipeline.read:Decode.__call__",
        faces_seen="pipeline.see:See.__call__",
        batch_enrolled="pipeline.gallery:Gallery._enrol",
        image_enrolled="pipeline.gallery:Gallery._enrol_image",
        file_recorded="pipeline.gallery:Gallery._new_file",
        content_recorded="adapters.transaction:StoreTransaction.put_content",
        vector_recorded="adapters.transaction:StoreTransaction.put_face_vector",
        person_born="pipeline.book:Book.new_person",
        index_grown="adapters.index:FaceIndex.add",
        images_left="pipeline.ingest:Ingest.done",
    ),
    "truth_committed": Step(f"{PACKAGE}.adapters.store:LmdbStore.write", opens=True),
}
PLACING = {
    **_steps(
        pending_read="pipeline.place:file_to_place",
        file_reconciled="adapters.library:Folders.reconcile",
        folder_flushed="adapters.files:flush_folder",
        file_shown="adapters.placing:Placing._show",
        reason_explained="adapters.reasons:write_reason",
        reason_written="adapters.files:write_new",
        old_cleared="adapters.placing:Placing._clear",
        old_removed="adapters.placing:Placing._remove",
        placed_recorded="pipeline.gallery:Gallery._record_placed",
        placed_told="pipeline.place:Placer._tell",
        inbox_pruned="adapters.inbox:FolderInbox.prune",
    ),
    "folder_made": Step("os:mkdir", FILES),
    "hard_link": Step("os:link", FILES),
    "symbolic_link": Step("os:symlink", FILES),
    "unlink": Step("os:unlink", FILES),
    "folder_removed": Step("os:rmdir", PLACING_FILE),
    "rename": Step(f"{FILES}:rename_new"),
    "copy": Step(f"{FILES}:copy_new"),
    "copy_opened": Step("os:open", FILES),
    "copy_dated": Step("os:utime", FILES),
    "copy_flushed": Step("os:fsync", FILES),
}
RECLUSTERING = _steps(
    snapshot_read="pipeline.think:load_faces",
    clusters_found="pipeline.think:clusters_of",
    clusters_reconciled="pipeline.think:reconciled",
    run_kept="pipeline.runs:Runs.keep",
    run_applied="pipeline.runs:Runs.apply",
    run_rolled_back="pipeline.runs:Runs.rollback",
)
CHANGING = _steps(
    change_written="pipeline.change:write_down",
    change_begun="pipeline.changes:Changes.begin",
    chunk_done="pipeline.changes:Changes.step",
    face_put_back="pipeline.changes:Changes._put_back",
    change_finished="pipeline.changes:Changes._finish",
    change_taken_back="pipeline.changes:Changes.take_back",
    files_laid_back="pipeline.runs:Runs.lay_back",
    wishes_renewed="pipeline.runs:Runs._renew",
    laying_back_ended="pipeline.runs:Runs._laid_back",
    decision_made="pipeline.decide:Decide.make",
    decision_undone="pipeline.decide:Decide.undo",
)
INDEXING = {
    **_steps(
        index_saved="adapters.index:FaceIndex.save",
        index_summed="adapters.index:_sha256",
        index_trained="adapters.index:FaceIndex.train",
        index_swapped="adapters.index:FaceIndex.swap",
    ),
    "index_written": Step("faiss:write_index", INDEX),
    "index_flushed": Step(f"{PACKAGE}.adapters.disk:flush", INDEX),
    "index_replaced": Step("os:replace", INDEX),
}
FORGETTING = _steps(
    person_scrubbed="pipeline.scrub:scrub",
    person_left="pipeline.roster:Roster.forget",
    index_discarded="adapters.index:FaceIndex.discard",
    index_remade="pipeline.keep_index:IndexKeeper.rebuild",
    placed="pipeline.gallery:Gallery._record_placed",
    copies_deleted="adapters.store:LmdbStore.delete_backups",
    truth_copied="adapters.schema:copy_compact",
    truth_swapped="adapters.store:LmdbStore._use",
    truth_rewritten="adapters.store:LmdbStore.rewrite",
    forgetting_done="pipeline.forget:Forget._done",
)
FOLDERS = _steps(
    folders_walked="pipeline.walked:Walker.walk",
    folders_understood="pipeline.by_hand:ByHand.understand",
    folders_seen_again="pipeline.by_hand:ByHand._is_still_so",
    folders_composed="pipeline.compose:Composition.of",
    folders_answered="pipeline.hands:Hands._end",
)
"""From seeing what people laid elsewhere to having it decided: see test_folders.py."""

MIGRATING = {
    "copy_renamed": Step("pathlib:Path.rename", f"{PACKAGE}.adapters.schema"),
    "schema_raised": Step(f"{PACKAGE}.adapters.schema:_raise_schema"),
}
"""What a command may be doing that is no part of a run: see test_forget.py and test_migrate.py."""

REEMBEDDING = _steps(
    move_begun="pipeline.reembed:Reembed.begin",
    image_reread="pipeline.reembed_fill:Fill._read",
    faces_kept="pipeline.reembed_fill:Fill.keep",
    image_kept="pipeline.reembed_fill:_kept",
    graph_remade="pipeline.keep_graph:remake_graph",
    models_compared="pipeline.reembed_compare:compare",
    move_decided="pipeline.reembed:Reembed._compare",
    unread_stood_in="pipeline.reembed_switch:_stand_in",
    graph_completed="pipeline.reembed_switch:_complete_graph",
    faces_adopted="pipeline.reembed_switch:_adopt",
    model_switched="pipeline.reembed_switch:switch",
    store_reopened="app.opening:_switched",
)
"""See test_another_model.py."""

WRITES = {
    f"{call}_in_{owner.rpartition('.')[2]}": Step(f"os:{call}", owner)
    for owner, calls in {
        PLACING_FILE: ("rmdir",),
        FILES: ("mkdir", "link", "symlink", "unlink", "open", "fchmod", "utime", "fsync"),
        INDEX: ("replace",),
        f"{PACKAGE}.adapters.disk": ("open", "fsync"),
        f"{PACKAGE}.adapters.private": ("mkdir", "open"),
        f"{PACKAGE}.adapters.lock": ("open", "ftruncate", "pwrite"),
        f"{PACKAGE}.adapters.control": ("open", "chmod", "unlink"),
        f"{PACKAGE}.adapters.inbox": ("rmdir",),
        f"{PACKAGE}.parts": ("mkdir",),
    }.items()
    for call in calls
}
"""The calls of the adapters that may meet a disk that refuses."""

STEPS = {**OPENING, **SORTING, **PLACING, **RECLUSTERING, **CHANGING, **INDEXING}
ALL = {**STEPS, **WRITES, **FORGETTING, **MIGRATING, **REEMBEDDING, **FOLDERS}


def found(target: str) -> tuple[Any, str, Any]:
    """(module or class, name in it, the function). Raises ImportError, AttributeError, KeyError."""
    module, _, path = target.partition(":")
    owner: Any = import_module(module)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    return owner, name, vars(owner)[name]
