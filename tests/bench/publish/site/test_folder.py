import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.publish.site.folder import MARK, replacing


def test_a_site_is_replaced_whole(tmp_path):
    for text in ("first", "second"):
        with replacing(tmp_path / "site") as folder:
            (folder / text).write_text(text)
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"second", MARK}
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_failure_leaves_the_old_site(tmp_path):
    with replacing(tmp_path / "site") as folder:
        (folder / "old").touch()
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "site") as folder:
        (folder / "new").write_text(str(1 / 0))
    assert (tmp_path / "site" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(UserError, match="holds files that are not a leaderboard's"), replacing(tmp_path / "photos"):
        pass
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_a_file_and_a_link_are_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(UserError, match="is not a folder"), replacing(tmp_path / name):
            pass


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "site").mkdir()
    with replacing(tmp_path / "site") as folder:
        (folder / "page").touch()
    assert (tmp_path / "site" / "page").exists()
