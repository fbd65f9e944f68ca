"""What is kept of a request."""

from __future__ import annotations

import json

import dspy
import pytest

from pytest_mipro.lm import seam
from pytest_mipro.lm.requests import canonical, key_of

HOW = {
    "api_key": "sk-hidden",
    "api_base": "http://hidden/v1",
    "base_url": "http://hidden/v1",
    "headers": {"x-token": "hidden"},
    "extra_headers": {"x-token": "hidden"},
    "organization": "hidden",
    "project": "hidden",
}


def kept(call=None, **settings):
    lm = dspy.LM("openai/some-model", temperature=0.0, **settings)
    return canonical(seam.asked(lm, None, [{"role": "user", "content": "Hello?"}], call or {}))


@pytest.mark.parametrize("name", HOW)
def test_how_an_lm_is_reached_is_no_part_of_a_request(name):
    assert "hidden" not in json.dumps(kept(**{name: HOW[name]}))
    assert "hidden" not in json.dumps(kept({name: HOW[name]}))
    assert key_of(kept(**{name: HOW[name]})) == key_of(kept())


@pytest.mark.parametrize("settings", [{"temperature": 0.5}, {"max_tokens": 7}, {"rollout_id": 1}])
def test_what_is_asked_tells_requests_apart(settings):
    assert key_of(kept(settings)) != key_of(kept())


def test_a_field_of_a_schema_may_be_called_as_a_setting_is():
    schemas = [{"response_format": {"properties": {name: {}}}} for name in ("user", "headers")]
    assert key_of(kept(schemas[0])) != key_of(kept(schemas[1]))
