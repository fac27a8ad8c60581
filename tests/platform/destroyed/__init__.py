"""Tests of platforms that come up and go again."""
