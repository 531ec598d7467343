from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.probes import LinearProbe, LinearProbeCV


@parametrize_with_checks([LinearProbe(), LinearProbeCV(Cs=5, cv=3)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)
