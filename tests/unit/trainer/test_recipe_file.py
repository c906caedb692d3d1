import tomllib
from pathlib import Path

import pytest

from trainer.errors import RecipeError
from trainer.recipe import Recipe
from trainer.recipe_file import read_recipe, write_recipe

SMALL = 'base = "tiny"\ndata = "train.jsonl"\n'


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def test_defaults_are_those_of_the_field(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert (recipe.epochs, recipe.batch_size, recipe.accumulation, recipe.seed) == (2, 2, 8, 3407)
    assert (recipe.lora.rank, recipe.lora.scale_alpha, recipe.lora.dropout) == (16, 16.0, 0)
    assert (recipe.optim.learning_rate, recipe.optim.warmup, recipe.optim.weight_decay) == (2e-4, 0.05, 0.01)
    assert recipe.held_out == 0.1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (SMALL + "epoch = 1\n", "recipe.toml: there is no key 'epoch'. Did you mean epochs?"),
        (SMALL + "[lora]\nrnak = 8\n", "recipe.toml: there is no key 'lora.rnak'. Did you mean lora.rank?"),
        (SMALL + "rank = 8\n", "recipe.toml: there is no key 'rank'. Did you mean lora.rank?"),
        (
            SMALL + "learning_rte = 1\n",
            "recipe.toml: there is no key 'learning_rte'. Did you mean optim.learning_rate?",
        ),
        ('data = "x"\n', "recipe.toml: base is missing."),
        (
            SMALL + "[lora]\nrank = 1024\n",
            "recipe.toml: lora.rank = '1024': input should be less than or equal to 512.",
        ),
    ],
)
def test_one_problem_is_one_line(recipe_file: Path, text: str, line: str) -> None:
    assert problems(recipe_file, text) == [line]


def test_all_problems_are_told_at_once(recipe_file: Path) -> None:
    text = SMALL + 'epochs = "two"\nseeed = 1\n[lora]\nuse_dora = true\nmodules_to_save = ["lm_head"]\n'
    lines = problems(recipe_file, text)
    assert len(lines) == 4
    assert any("vLLM refuses DoRA" in line for line in lines)
    assert any("lora.modules_to_save is not supported" in line for line in lines)


def test_no_toml_and_no_file(tmp_path: Path, recipe_file: Path) -> None:
    assert "line 1" in problems(recipe_file, "base = \n")[0]
    with pytest.raises(RecipeError, match="There is no recipe at"):
        read_recipe(tmp_path / "absent.toml")


def test_set_changes_keys_and_takes_bare_words(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, ["lora.rank=8", "base=other", "held_out=0.2", "epochs=1"])
    assert (recipe.lora.rank, recipe.base, recipe.held_out, recipe.epochs) == (8, "other", 0.2, 1.0)
    for change in ("lora.rank", "base.x=1"):
        with pytest.raises(RecipeError, match="--set"):
            read_recipe(recipe_file, [change])


def test_the_resolved_recipe_reads_back_as_itself(tmp_path: Path, recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, ['lora.target_modules=["q_proj"]', 'data="a \\"b\\" ü.jsonl"', "max_steps=3"])
    written = tmp_path / "resolved.toml"
    write_recipe(recipe, written)
    assert read_recipe(written) == recipe
    assert Recipe.model_validate(tomllib.loads(written.read_text(encoding="utf-8"))).lora.rank == 16
