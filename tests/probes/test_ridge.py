from sklearn.utils.estimator_checks import parametrize_with_checks

from tlengine.probes import RidgeProbe, RidgeProbeCV


@parametrize_with_checks([RidgeProbe(), RidgeProbeCV(), RidgeProbeCV(cv=3)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)
